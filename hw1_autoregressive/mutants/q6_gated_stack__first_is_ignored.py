"""H1-X104: the argument first changes nothing: every layer is built as a later one. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__(channels, kernel_size, False)
