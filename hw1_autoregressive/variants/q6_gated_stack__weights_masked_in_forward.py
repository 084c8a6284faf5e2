"""H1-Y101: masked weights are set to 0 in place before each convolution."""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels, kernel_size, first=False):
        super().__init__()
        if kernel_size not in range(3, 99, 2):
            raise ValueError(kernel_size)
        self.first, self.end = first, kernel_size // 2 + (0 if first else 1)
        self.v_conv = nn.Conv2d(channels, 2 * channels, kernel_size, padding="same")
        self.h_conv = nn.Conv2d(channels, 2 * channels, (1, kernel_size), padding="same")
        self.link, self.out = nn.Conv2d(2 * channels, 2 * channels, 1), nn.Conv2d(channels, channels, 1)
        self.c_v, self.c_h = nn.Linear(channels, 2 * channels), nn.Linear(channels, 2 * channels)

    def forward(self, v, h, condition=None):
        self.v_conv.weight.data[:, :, self.end :] = 0
        self.h_conv.weight.data[..., self.end :] = 0
        v = self.v_conv(v)
        x = self.h_conv(h) + self.link(v)
        if condition is not None:
            v = v + self.c_v(condition)[..., None, None]
            x = x + self.c_h(condition)[..., None, None]
        v, x = F.glu(torch.cat([v.chunk(2, 1)[0].tanh(), v.chunk(2, 1)[1]], 1), 1), x.chunk(2, 1)
        x = self.out(x[0].tanh() * x[1].sigmoid())
        return (v, x) if self.first else (v, x + h)
