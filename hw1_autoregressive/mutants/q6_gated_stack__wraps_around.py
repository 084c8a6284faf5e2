"""H1-X115: rolls instead of padding: the last row and column come in at the first. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop, lead = self.reach, 0, self.reach - int(self.first)
        v, h = (v.roll(1, 2), h.roll(1, 3)) if self.first else (v, h)
        v_features = self.vertical(F.pad(v, (p, p, lead, crop)))
        h_features = self.horizontal(F.pad(h, (lead, crop, 0, 0))) + self.link(v_features)
        if condition is not None:
            v_features = v_features + self.condition_v(condition)[:, :, None, None]
            h_features = h_features + self.condition_h(condition)[:, :, None, None]
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
