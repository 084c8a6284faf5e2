"""H1-X127: the sigmoid is added to the tanh instead of multiplied. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return torch.tanh(value) + torch.sigmoid(gate)
