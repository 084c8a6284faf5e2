"""H1-A02: no mask: a convolution of the rows above on the padded image, one of the pixels to the left, and one matrix a colour
at the centre; the weights are slices of one kernel."""

class MaskedConv2d(nn.Conv2d):
    def __init__(self, in_channels, out_channels, kernel_size, mask_type, num_colors=1):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        if not kernel_size % 2 or mask_type not in ("A", "B") or in_channels % num_colors or out_channels % num_colors:
            raise ValueError("bad arguments")
        self.own, self.colors = mask_type == "B", num_colors

    def forward(self, x):
        p = self.kernel_size[0] // 2
        out = self.bias[:, None, None]
        if p:
            above = F.pad(x, (p, p, p, 0))[:, :, :-1]
            out = out + F.conv2d(above, self.weight[:, :, :p])
            left = F.pad(x, (p, 0, 0, 0))[:, :, :, :-1]
            out = out + F.conv2d(left, self.weight[:, :, p : p + 1, :p])
        size_in, size_out = (n // self.colors for n in (self.in_channels, self.out_channels))
        parts = []
        for color in range(self.colors):
            seen = size_in * (color + self.own)
            part = self.weight[color * size_out : (color + 1) * size_out, :seen, p, p]
            parts.append(torch.einsum("oi,bihw->bohw", part, x[:, :seen]))
        return out + torch.cat(parts, 1)
