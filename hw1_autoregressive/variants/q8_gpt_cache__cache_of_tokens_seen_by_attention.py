"""H1-A09: the cache holds the normalised inputs of each block, from which keys and values are made again."""


class Block(Block):
    def forward(self, x, past=None):
        normed = self.norm_attention(x)
        seen = normed if past is None else torch.cat([past[0][:, 0], normed], dim=1)
        q, k, v = (self._split(part) for part in self.qkv(seen).chunk(3, dim=-1))
        past_length = seen.shape[1] - x.shape[1]
        mixed = causal_attention(q[:, :, past_length:], k, v, past_length)
        x = x + self.project(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norm_mlp(x)), (seen[:, None], None)
