"""H1-X381: the centre row keeps the pixels to the right.
Loses: q4_masked_conv."""

class MaskedConv2d(nn.Conv2d):
    def __init__(self, in_channels, out_channels, kernel_size, mask_type, num_colors=1):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        if kernel_size % 2 == 0 or mask_type not in ("A", "B") or in_channels % num_colors or out_channels % num_colors:
            raise ValueError("unknown mask type, even kernel, or channels that do not divide")
        c = kernel_size // 2
        color_in = torch.arange(in_channels) // (in_channels // num_colors)
        color_out = torch.arange(out_channels) // (out_channels // num_colors)
        mask = torch.zeros_like(self.weight)
        mask[:, :, :c] = 1
        mask[:, :, c, c + 1 :] = 1
        mask[:, :, c, c] = (color_in[None] < color_out[:, None] if mask_type == "A" else color_in[None] <= color_out[:, None]).to(mask)
        self.register_buffer("mask", mask)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
