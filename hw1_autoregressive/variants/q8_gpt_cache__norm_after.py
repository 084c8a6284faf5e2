"""H1-Y153: the normalisation stands after the residual sum, as in Vaswani 2017."""


class Block(Block):
    def forward(self, x, past=None):
        q, k, v = map(self._split, self.qkv(x).split(x.shape[-1], dim=-1))
        if past is not None:
            k, v = torch.cat([past[0], k], dim=-2), torch.cat([past[1], v], dim=-2)
        mixed = causal_attention(q, k, v, k.shape[-2] - q.shape[-2])
        x = self.norm_attention(x + self.project(mixed.transpose(1, 2).flatten(-2)))
        return self.norm_mlp(x + self.mlp(x)), (k, v)
