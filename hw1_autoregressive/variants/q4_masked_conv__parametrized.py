"""H1-Y09: the mask is a parametrisation of the weight, as torch.nn.utils.parametrize offers."""

class _Keep(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask

class MaskedConv2d(MaskedConv2d):
    def __init__(self, in_channels, out_channels, kernel_size, mask_type, num_colors=1):
        super().__init__(in_channels, out_channels, kernel_size, mask_type, num_colors)
        nn.utils.parametrize.register_parametrization(self, "weight", _Keep(self.mask.clone()))

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)
