"""H1-X409: bad arguments raise AssertionError, not ValueError.
Loses: q4_masked_conv."""

class MaskedConv2d(MaskedConv2d):
    def __init__(self, in_channels, out_channels, kernel_size, mask_type, num_colors=1):
        assert kernel_size % 2 == 1 and mask_type in "AB"
        assert in_channels % num_colors == 0 and out_channels % num_colors == 0
        super().__init__(in_channels, out_channels, kernel_size, mask_type, num_colors)
