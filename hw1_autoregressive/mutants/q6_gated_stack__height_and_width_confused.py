"""H1-X147: the vertical stack is built for columns and the horizontal for rows. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        v, h = super().forward(v.transpose(2, 3), h.transpose(2, 3), condition)
        return v.transpose(2, 3), h.transpose(2, 3)
