"""H1-X140: the condition is added to the gated result, so it opens and closes nothing. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop = self.reach, -int(self.first)
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_features)
        if condition is not None:
            pass
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        if condition is not None:
            v_out = v_out + self.condition_v(condition).chunk(2, 1)[0][:, :, None, None]
            h_out = h_out + self.condition_h(condition).chunk(2, 1)[0][:, :, None, None]
        return v_out, h_out if self.first else h + h_out
