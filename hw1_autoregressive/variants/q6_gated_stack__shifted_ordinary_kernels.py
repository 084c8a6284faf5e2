"""H1-A02: ordinary kernels on an image that is padded at the top and left and cropped, as in PixelCNN++."""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels, kernel_size, first=False):
        super().__init__()
        if kernel_size < 3 or not kernel_size % 2:
            raise ValueError("need an odd kernel of at least 3")
        self.first, self.p = first, kernel_size // 2
        size = self.p if first else self.p + 1
        self.down = nn.Conv2d(channels, 2 * channels, (size, kernel_size), padding=(0, self.p))
        self.right = nn.Conv2d(channels, 2 * channels, (1, size))
        self.nin = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.last = nn.Conv2d(channels, channels, 1)
        self.label = nn.Conv2d(channels, 4 * channels, 1, bias=False)

    def forward(self, v, h, condition=None):
        height, width = v.shape[2:]
        down = self.down(F.pad(v, (0, 0, self.p, 0)))[:, :, :height]
        right = self.right(F.pad(h, (self.p, 0)))[..., :width] + self.nin(down)
        if condition is not None:
            shifts = self.label(condition[:, :, None, None])
            down, right = down + shifts[:, : down.shape[1]], right + shifts[:, down.shape[1] :]
        gated = [x[:, ::2].tanh() * x[:, 1::2].sigmoid() for x in (down, right)]             # interleaved halves
        return gated[0], self.last(gated[1]) + (0 if self.first else h)
