"""H1-A02: full k x k kernels with masks that are multiplied in at every call, instead of cropped kernels."""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < 3:
            raise ValueError("kernel_size must be odd and at least 3")
        p, self.first = kernel_size // 2, first
        self.vertical = nn.Conv2d(channels, 2 * channels, kernel_size, padding=p)
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, kernel_size), padding=(0, p))
        self.v_to_h = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.cond = nn.Linear(channels, 4 * channels)
        rows = torch.arange(kernel_size) < p + (not first)
        self.register_buffer("rows", rows[:, None].float())
        self.register_buffer("cols", rows[None, :].float())

    def forward(self, v, h, condition=None):
        v_features = self.vertical._conv_forward(v, self.vertical.weight * self.rows, self.vertical.bias)
        h_features = self.horizontal._conv_forward(h, self.horizontal.weight * self.cols, self.horizontal.bias)
        h_features = h_features + self.v_to_h(v_features)
        if condition is not None:
            shift_v, shift_h = self.cond(condition).unsqueeze(-1).unsqueeze(-1).chunk(2, dim=1)
            v_features, h_features = v_features + shift_v, h_features + shift_h
        a, b = v_features.chunk(2, dim=1)
        c, d = h_features.chunk(2, dim=1)
        out = self.project(torch.tanh(c) * torch.sigmoid(d))
        return torch.tanh(a) * torch.sigmoid(b), out if self.first else out + h
