"""H1-Y152: the output layer shares the weights of the token embedding; log-probabilities are returned as logits."""


class GPT(nn.Module):
    def __init__(self, vocab_size, context_length, width, depth, heads):
        super().__init__()
        if width % heads != 0:
            raise ValueError("heads must divide width")
        self.T, self.h = context_length, heads
        self.wte, self.wpe = nn.Embedding(vocab_size, width), nn.Parameter(0.02 * torch.randn(context_length, width))
        self.ln = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.q, self.k, self.v, self.o = (nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(4))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.register_buffer("mask", torch.tril(torch.ones(context_length, context_length)))
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, idx, cache=None):
        B, T = idx.shape
        P = 0 if cache is None else cache[0].shape[-2]
        if P + T > self.T:
            raise ValueError("longer than the context")
        x, new = self.wte(idx) + self.wpe[P : P + T], []
        for i in range(len(self.q)):
            a = self.ln[2 * i](x)
            q, k, v = (f[i](a).view(B, T, self.h, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
            if cache is not None:
                k, v = torch.cat((cache[2 * i], k), -2), torch.cat((cache[2 * i + 1], v), -2)
            new += [k, v]
            s = (q @ k.mT) * q.shape[-1] ** -0.5
            s = s.masked_fill(self.mask[P : P + T, : P + T] == 0, float("-inf"))
            x = x + self.o[i]((s.softmax(-1) @ v).transpose(1, 2).contiguous().view(B, T, -1))
            x = x + self.down[i](F.gelu(self.up[i](self.ln[2 * i + 1](x))))
        return (self.ln[-1](x) @ self.wte.weight.T + self.bias).log_softmax(-1), new
