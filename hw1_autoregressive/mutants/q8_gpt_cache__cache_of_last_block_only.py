"""H1-X164: one cache is handed from block to block, so each block attends to the keys of the one before. Loses:
q8_gpt_cache.
"""


class GPT(GPT):
    def forward(self, idx: Tensor, cache=None) -> tuple[Tensor, list]:
        past_length = 0 if cache is None else cache[0][0].shape[2]
        length = past_length + idx.shape[1]
        if length > self.context_length:
            raise ValueError(f"a sequence of {length} tokens does not fit a context of {self.context_length}")
        x = self.tokens(idx) + self.positions(torch.arange(past_length, length, device=idx.device))
        new_cache = []
        for block in self.blocks:
            x, past = block(x, None if cache is None else cache[-1])
            new_cache.append(past)
        return self.head(self.norm(x)), new_cache
