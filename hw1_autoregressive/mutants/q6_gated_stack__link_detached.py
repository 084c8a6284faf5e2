"""H1-X141: the link is cut from the graph, so the vertical stack does not learn through h. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop = self.reach, -int(self.first)
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_features.detach())
        if condition is not None:
            v_features = v_features + self.condition_v(condition)[:, :, None, None]
            h_features = h_features + self.condition_h(condition)[:, :, None, None]
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
