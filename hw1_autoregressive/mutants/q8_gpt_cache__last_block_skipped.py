"""H1-X179: the last block is left out, so a model of depth 1 has none. Loses: q8_gpt_cache."""


class GPT(GPT):
    def forward(self, idx: Tensor, cache=None) -> tuple[Tensor, list]:
        past_length = 0 if not cache else cache[0][0].shape[2]
        length = past_length + idx.shape[1]
        if length > self.context_length:
            raise ValueError(f"a sequence of {length} tokens does not fit a context of {self.context_length}")
        x = self.tokens(idx) + self.positions(torch.arange(past_length, length, device=idx.device))
        new_cache = []
        for i, block in enumerate(self.blocks[:-1]):
            x, past = block(x, None if not cache else cache[i])
            new_cache.append(past)
        return self.head(self.norm(x)), new_cache
