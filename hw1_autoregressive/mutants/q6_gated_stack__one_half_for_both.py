"""H1-X121: tanh and sigmoid take the same half of the features. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return torch.tanh(value) * torch.sigmoid(value)
