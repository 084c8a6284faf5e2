"""H1-Y13: the mask is a parameter that takes no gradient, and the weight is multiplied with it by an einsum of ones."""

class MaskedConv2d(MaskedConv2d):
    def __init__(self, in_channels, out_channels, kernel_size, mask_type, num_colors=1):
        super().__init__(in_channels, out_channels, kernel_size, mask_type, num_colors)
        mask = self.mask.clone()
        del self.mask
        self.mask = nn.Parameter(mask, requires_grad=False)

    def forward(self, x):
        kernel = torch.einsum("oikl,oikl->oikl", self.weight, self.mask)
        return F.conv2d(x, kernel, self.bias, self.stride, self.padding, self.dilation, self.groups)
