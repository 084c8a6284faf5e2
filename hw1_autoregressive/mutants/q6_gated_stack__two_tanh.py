"""H1-X125: both halves pass a tanh. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return torch.tanh(value) * torch.tanh(gate)
