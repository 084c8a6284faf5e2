"""H1-Y106: a 1x1 convolution after the gate of the vertical stack too."""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < 3:
            raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
        self.first, self.reach = first, kernel_size // 2
        depth = self.reach + (not first)
        self.vertical = nn.Conv2d(channels, 2 * channels, (depth, kernel_size))
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, depth))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.v_out = nn.Conv2d(channels, channels, 1)
        self.condition_v = nn.Linear(channels, 2 * channels, bias=False)
        self.condition_h = nn.Linear(channels, 2 * channels, bias=False)

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop = self.reach, -int(self.first)
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_features)
        if condition is not None:
            v_features = v_features + self.condition_v(condition)[:, :, None, None]
            h_features = h_features + self.condition_h(condition)[:, :, None, None]
        v_out, h_out = self.v_out(self._gate(v_features)), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out

    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return torch.tanh(value) * torch.sigmoid(gate)
