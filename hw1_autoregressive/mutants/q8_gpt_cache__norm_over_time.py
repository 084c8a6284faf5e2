"""H1-X187: the normalisation runs over the sequence, so later tokens move earlier logits. Loses: q8_gpt_cache."""


class Block(Block):
    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return super().forward((x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True, unbiased=False) + 1e-3), past)
