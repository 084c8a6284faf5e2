"""H1-Y154: every head is a module of its own, and the cache nests lists: block, head, keys and values."""


class Head(nn.Module):
    def __init__(self, width, size):
        super().__init__()
        self.qkv = nn.ModuleList(nn.Linear(width, size, bias=False) for _ in range(3))

    def forward(self, x, past):
        q, k, v = (layer(x)[:, None] for layer in self.qkv)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        return causal_attention(q, k, v, k.shape[2] - q.shape[2])[:, 0], [k, v]


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = nn.ModuleList(Head(width, width // heads) for _ in range(heads))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mix, self.mlp = nn.Linear(width, width), nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width))

    def forward(self, x, past=None):
        normed = self.norms[0](x)
        out, new = zip(*(head(normed, past[i] if past else None) for i, head in enumerate(self.heads)))
        x = x + self.mix(torch.cat(out, -1))
        return x + self.mlp(self.norms[1](x)), list(new)


class GPT(GPT):
    def forward(self, idx, cache=None):
        past = cache[0][0][0].shape[2] if cache else 0
        if past + idx.shape[1] > self.context_length:
            raise ValueError(past)
        x, new = self.tokens(idx) + self.positions(past + torch.arange(idx.shape[1])), []
        for i, block in enumerate(self.blocks):
            x, kept = block(x, cache[i] if cache else None)
            new.append(kept)
        return self.head(self.norm(x)), new
