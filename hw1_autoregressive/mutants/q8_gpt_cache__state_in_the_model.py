"""H1-X167: keys and values are kept in the module from one sequence to the next. Loses: q8_gpt_cache."""


class GPT(GPT):
    def forward(self, idx: Tensor, cache=None) -> tuple[Tensor, str]:
        if cache is None:
            self.kept = None
        logits, self.kept = super().forward(idx, self.kept)
        return logits, "kept in the model"
