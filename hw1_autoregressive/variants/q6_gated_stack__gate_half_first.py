"""H1-Y104: the sigmoid takes the first half of the features and tanh the second."""


class GatedMaskedConv(GatedMaskedConv):
    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        gate, value = features.tensor_split(2, dim=1)
        return value.tanh() / (1 + (-gate).exp())
