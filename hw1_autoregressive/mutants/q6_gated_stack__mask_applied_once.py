"""H1-W02: k x k kernels whose hidden weights are set to 0 at construction alone, and filled by the first step of an
optimiser. Loses: q6_gated_stack.
"""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < 3:
            raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
        self.first, p = first, kernel_size // 2
        self.vertical = nn.Conv2d(channels, 2 * channels, kernel_size, padding=p)
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, kernel_size), padding=(0, p))
        self.vertical.weight.data[:, :, p + (not first) :] = 0
        self.horizontal.weight.data[:, :, :, p + (not first) :] = 0
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.condition = nn.Linear(channels, 4 * channels, bias=False)

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        v_features = self.vertical(v)
        h_features = self.horizontal(h) + self.link(v_features)
        if condition is not None:
            shift_v, shift_h = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
            v_features, h_features = v_features + shift_v, h_features + shift_h
        v_out, h_out = (a.tanh() * b.sigmoid() for a, b in (v_features.chunk(2, 1), h_features.chunk(2, 1)))
        return v_out, self.out(h_out) if self.first else h + self.out(h_out)
