"""H1-X161: cached keys are joined along the axis of heads, and attention then runs with more heads. Loses:
q8_gpt_cache.
"""


class Block(Block):
    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        q, k, v = (self._split(part) for part in self.qkv(self.norm_attention(x)).chunk(3, dim=-1))
        past_length = 0
        if past is not None:
            past_length = past[0].shape[2]
            past_k, past_v = past
            if past_k.shape[2] == k.shape[2]:
                k, v = (torch.cat([old, new], dim=1)[:, -self.heads :] for old, new in ((past_k, k), (past_v, v)))
                past_length = 0
            else:
                k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        mixed = causal_attention(q, k, v, past_length)
        x = x + self.project(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x)), (k, v)
