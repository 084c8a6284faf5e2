"""H1-X123: the value is not squashed: a gated linear unit. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return value * torch.sigmoid(gate)
