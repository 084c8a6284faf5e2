"""H1-W02: the mask is applied to the weights in the first forward pass and never again. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__(channels, kernel_size, first)
        self.vertical = nn.Conv2d(channels, 2 * channels, (kernel_size, kernel_size), padding=kernel_size // 2)
        self.masked = False

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not self.masked:
            self.vertical.weight.data[:, :, self.reach + (not self.first) :] = 0
            self.masked = True
        h_features = self.horizontal(F.pad(h, (self.reach, -int(self.first), 0, 0))) + self.link(self.vertical(v))
        v_features = self.vertical(v)
        if condition is not None:
            v_features = v_features + self.condition_v(condition)[:, :, None, None]
            h_features = h_features + self.condition_h(condition)[:, :, None, None]
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
