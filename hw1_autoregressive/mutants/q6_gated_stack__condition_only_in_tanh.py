"""H1-X134: the condition is added to the half that goes through tanh, not to the gate's. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p, crop = self.reach, -int(self.first)
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_features)
        if condition is not None:
            zero = torch.zeros_like(condition)
            v_features = v_features + torch.cat([self.condition_v(condition).chunk(2, 1)[0], zero], 1)[:, :, None, None]
            h_features = h_features + torch.cat([self.condition_h(condition).chunk(2, 1)[0], zero], 1)[:, :, None, None]
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
