"""H1-Y08: the mask is filled entry by entry in Python, kept as a buffer that is not saved, and applied by unfold."""

class MaskedConv2d(nn.Conv2d):
    def __init__(self, in_channels, out_channels, kernel_size, mask_type, num_colors=1):
        if mask_type not in {"A", "B"} or kernel_size % 2 != 1:
            raise ValueError("bad mask type or kernel")
        if in_channels % num_colors != 0 or out_channels % num_colors != 0:
            raise ValueError("bad channels")
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        mask = torch.zeros(out_channels, in_channels, kernel_size, kernel_size)
        for o in range(out_channels):
            for i in range(in_channels):
                for position in range(kernel_size**2):
                    row, col = divmod(position, kernel_size)
                    if position < kernel_size**2 // 2:
                        mask[o, i, row, col] = 1
                    elif position == kernel_size**2 // 2:
                        c_in, c_out = i * num_colors // in_channels, o * num_colors // out_channels
                        mask[o, i, row, col] = c_in < c_out or (mask_type == "B" and c_in == c_out)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        patches = F.unfold(x, self.kernel_size, padding=self.padding)                 # (B, C k k, H W)
        kernel = (self.weight * self.mask).flatten(1)
        return (kernel @ patches + self.bias[:, None]).unflatten(2, x.shape[2:])
