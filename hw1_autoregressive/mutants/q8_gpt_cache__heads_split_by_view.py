"""H1-X173: heads are split by a view of (B, heads, T, d) without a transpose, which mixes positions. Loses:
q8_gpt_cache.
"""


class Block(Block):
    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], self.heads, x.shape[1], -1)
