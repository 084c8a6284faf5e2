"""H1-Y102: the link takes the gated output of the vertical stack, as figure 2 may be read."""


class GatedMaskedConv(GatedMaskedConv):
    def __init__(self, channels, kernel_size, first=False):
        super().__init__(channels, kernel_size, first)
        self.link = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop = self.reach, -int(self.first)
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))
        if condition is not None:
            v_features = v_features + self.condition_v(condition)[:, :, None, None]
        v_out = self._gate(v_features)
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_out)
        if condition is not None:
            h_features = h_features + self.condition_h(condition)[:, :, None, None]
        h_out = self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
