"""H1-Y12: a 5 x 5 first layer, no residual paths, labels as a bias in every layer, dropout (off when grading)."""

class PixelCNN(nn.Module):
    def __init__(self, image_shape, num_levels, hidden, num_layers, num_classes=None):
        super().__init__()
        C = image_shape[0]
        if hidden % C != 0:
            raise ValueError(f"{hidden} channels for {C} colours")
        self.shape, self.levels, self.classes = image_shape, num_levels, num_classes
        convs = [MaskedConv2d(C, hidden, 5, "A", C)] + [MaskedConv2d(hidden, hidden, 5, "B", C) for _ in range(num_layers)]
        self.convs = nn.ModuleList(convs)
        self.embeddings = nn.ModuleList(nn.Embedding(num_classes, hidden) for _ in convs) if num_classes else None
        self.dropout = nn.Dropout(0.1)
        self.head = MaskedConv2d(hidden, C * num_levels, 3, "B", C)

    def logits(self, x, y=None):
        if (y is not None) != bool(self.classes):
            raise ValueError("y is given exactly when num_classes is")
        h = x.to(torch.float32).div(self.levels - 1).mul(2).sub(1)
        for i, conv in enumerate(self.convs):
            h = conv(h)
            if y is not None:
                h = h + self.embeddings[i](y).unsqueeze(-1).unsqueeze(-1)
            h = self.dropout(F.leaky_relu(h, 0.1))
        B, C, H, W = x.shape
        return self.head(h).reshape(B, C, self.levels, H, W).permute(0, 2, 1, 3, 4)

    def log_prob(self, x, y=None):
        return -F.cross_entropy(self.logits(x, y), x, reduction="none").view(len(x), -1).sum(-1)

    @torch.no_grad()
    def sample(self, n, y=None, generator=None):
        x = torch.full((n, *self.shape), self.levels - 1, dtype=torch.int64)
        for r in range(self.shape[1]):
            for c in range(self.shape[2]):
                for k in range(self.shape[0]):
                    logits = self.logits(x, y)[:, :, k, r, c]
                    noise = torch.empty_like(logits).exponential_(generator=generator)
                    x[:, k, r, c] = (logits.softmax(1) / noise).argmax(1)
        return x
