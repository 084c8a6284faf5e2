"""H1-A02: no masks: ordinary convolutions on padded and shifted features, a vertical and a horizontal stream (PixelCNN++);
colours are fed to each other's heads explicitly."""

class PixelCNN(nn.Module):
    def __init__(self, image_shape, num_levels, hidden, num_layers, num_classes=None):
        super().__init__()
        C, H, W = image_shape
        if hidden % C:
            raise ValueError("hidden must be divisible by the number of colours")
        self.image_shape, self.K, self.num_classes = (C, H, W), num_levels, num_classes
        self.above_in, self.left_in = nn.Conv2d(C, hidden, (3, 5)), nn.Conv2d(C, hidden, (1, 3))
        self.above = nn.ModuleList(nn.Conv2d(hidden, hidden, (2, 3)) for _ in range(num_layers))
        self.left = nn.ModuleList(nn.Conv2d(hidden, hidden, (1, 2)) for _ in range(num_layers))
        self.link = nn.ModuleList(nn.Conv2d(hidden, hidden, 1) for _ in range(num_layers))
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(hidden + c, hidden, 1), nn.ELU(), nn.Conv2d(hidden, num_levels, 1)) for c in range(C)
        )
        self.classes = None if num_classes is None else nn.Linear(num_classes, hidden)

    def logits(self, x, y=None):
        if (self.num_classes is None) is not (y is None):
            raise ValueError("labels exactly when there are classes")
        u = x.float() * 2 / (self.K - 1) - 1
        v = self.above_in(F.pad(u, (2, 2, 3, 0))[:, :, :-1])
        h = self.left_in(F.pad(u, (3, 0, 0, 0))[:, :, :, :-1]) + v
        if y is not None:
            h = h + self.classes(F.one_hot(y, self.num_classes).float())[:, :, None, None]
        for above, left, link in zip(self.above, self.left, self.link):
            v = v + above(F.elu(F.pad(v, (1, 1, 1, 0))))
            h = h + left(F.elu(F.pad(h, (1, 0, 0, 0)))) + link(F.elu(v))
        return torch.stack([head(torch.cat([h, u[:, :c]], 1)) for c, head in enumerate(self.heads)], 2)

    def log_prob(self, x, y=None):
        return self.logits(x, y).log_softmax(1).gather(1, x.unsqueeze(1)).sum((1, 2, 3, 4))

    def sample(self, n, y=None, generator=None):
        C, H, W = self.image_shape
        x = torch.zeros((n, C, H, W), dtype=torch.long)
        for i in range(H * W * C):
            r, c, k = i // (W * C), i // C % W, i % C
            with torch.no_grad():
                p = self.logits(x[:, :, : r + 1], y)[:, :, k, r, c].softmax(1)
            x[:, k, r, c] = (p.cumsum(1) < torch.rand(n, 1, generator=generator)).sum(1).clamp(max=self.K - 1)
        return x
