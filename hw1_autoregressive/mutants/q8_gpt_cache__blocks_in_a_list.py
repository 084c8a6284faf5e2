"""H1-X194: blocks stand in a plain list, so they are neither trained nor saved. Loses: q8_gpt_cache."""


class GPT(nn.Module):
    def __init__(self, vocab_size: int, context_length: int, width: int, depth: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} does not split into {heads} heads")
        self.context_length = context_length
        self.tokens, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(context_length, width)
        self.blocks = [Block(width, heads) for _ in range(depth)]
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab_size)

    def double(self):
        self.blocks = [block.double() for block in self.blocks]
        return super().double()

    def forward(self, idx: Tensor, cache=None) -> tuple[Tensor, list]:
        past_length = 0 if cache is None else cache[0][0].shape[2]
        length = past_length + idx.shape[1]
        if length > self.context_length:
            raise ValueError(f"a sequence of {length} tokens does not fit a context of {self.context_length}")
        x = self.tokens(idx) + self.positions(torch.arange(past_length, length, device=idx.device))
        new_cache = []
        for i, block in enumerate(self.blocks):
            x, past = block(x, None if cache is None else cache[i])
            new_cache.append(past)
        return self.head(self.norm(x)), new_cache
