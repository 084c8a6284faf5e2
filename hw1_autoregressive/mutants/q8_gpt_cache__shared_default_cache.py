"""H1-X169: the cache is a mutable default argument, so all sequences share one list. Loses: q8_gpt_cache."""


class GPT(GPT):
    def forward(self, idx: Tensor, cache=[]) -> tuple[Tensor, list]:  # noqa: B006
        fits = cache and cache[0][0].shape[0] == len(idx) and cache[0][0].shape[2] + idx.shape[1] <= self.context_length
        logits, new = super().forward(idx, list(cache) if fits else None)
        cache[:] = new
        return logits, cache
