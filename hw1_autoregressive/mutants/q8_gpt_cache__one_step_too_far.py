"""H1-X172: each position sees the token it should predict: the input is shifted by one. Loses: q8_gpt_cache."""


class GPT(GPT):
    def forward(self, idx: Tensor, cache=None) -> tuple[Tensor, list]:
        past_length = 0 if cache is None else cache[0][0].shape[2]
        length = past_length + idx.shape[1]
        if length > self.context_length:
            raise ValueError(f"a sequence of {length} tokens does not fit a context of {self.context_length}")
        x = self.tokens(idx.roll(-1, dims=1)) + self.positions(torch.arange(past_length, length, device=idx.device))
        new_cache = []
        for i, block in enumerate(self.blocks):
            x, past = block(x, None if cache is None else cache[i])
            new_cache.append(past)
        return self.head(self.norm(x)), new_cache
