"""H1-X138: the condition itself is added to both halves instead of a learned projection, and each channel only by
its own number. Loses: q6_gated_stack.
"""


class GatedMaskedConv(GatedMaskedConv):
    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop = self.reach, -int(self.first)
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_features)
        if condition is not None:
            both = torch.cat([condition, condition], 1)[:, :, None, None]
            v_features, h_features = v_features + both, h_features + both
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
