"""H1-X126: both halves pass a sigmoid. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return torch.sigmoid(value) * torch.sigmoid(gate)
