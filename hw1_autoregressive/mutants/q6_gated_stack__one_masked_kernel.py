"""H1-X110: one k x k masked convolution stands in for both stacks: its layers have the blind spot. Loses:
q6_gated_stack.
"""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < 3:
            raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
        self.first = first
        self.conv = MaskedConv2d(channels, 2 * channels, kernel_size, "A" if first else "B")
        self.out = nn.Conv2d(channels, channels, 1)
        self.condition = nn.Linear(channels, 2 * channels)

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = self.conv(h)
        if condition is not None:
            features = features + self.condition(condition)[:, :, None, None]
        value, gate = features.chunk(2, dim=1)
        gated = torch.tanh(value) * torch.sigmoid(gate)
        return v, self.out(gated) if self.first else h + self.out(gated)
