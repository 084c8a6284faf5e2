"""H1-A09: the cache is an object with buffers of the full context that are written in place."""


class Cache:
    def __init__(self, depth, batch, heads, context, width, like):
        self.length = 0
        self.buffer = torch.zeros(depth, 2, batch, heads, context, width, dtype=like.dtype, device=like.device)


class GPT(GPT):
    def forward(self, idx, cache=None):
        batch, length = idx.shape
        heads, width = self.blocks[0].heads, self.tokens.embedding_dim
        if cache is None:
            cache = Cache(len(self.blocks), batch, heads, self.context_length, width // heads, self.tokens.weight)
        past = cache.length
        if past + length > self.context_length:
            raise ValueError("the context is full")
        x = self.tokens(idx) + self.positions(torch.arange(past, past + length, device=idx.device))
        for block, buffer in zip(self.blocks, cache.buffer):
            old = (buffer[0, :, :, :past], buffer[1, :, :, :past])
            x, (k, v) = block(x, old if past else None)
            buffer[:, :, :, past : past + length] = torch.stack([k, v])[:, :, :, past:].detach()
        cache.length = past + length
        return self.head(self.norm(x)), cache
