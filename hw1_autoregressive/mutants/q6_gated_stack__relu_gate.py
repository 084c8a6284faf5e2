"""H1-X124: ReLU takes the place of tanh. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        value, gate = features.chunk(2, dim=1)
        return torch.relu(value) * torch.sigmoid(gate)
