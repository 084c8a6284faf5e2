"""H1-Y107: separate convolutions and projections for tanh and sigmoid, in a ModuleDict; the link is added without a
1x1 convolution.
"""


class GatedMaskedConv(nn.Module):
    def __init__(self, channels, kernel_size, first=False):
        super().__init__()
        if kernel_size % 2 != 1 or kernel_size == 1:
            raise ValueError("odd, at least 3")
        self.first, self.p = first, kernel_size // 2
        n = self.p + 1 - int(first)
        self.v = nn.ModuleDict({k: nn.Conv2d(channels, channels, (n, kernel_size)) for k in ("tanh", "sigmoid")})
        self.h = nn.ModuleDict({k: nn.Conv2d(channels, channels, (1, n)) for k in ("tanh", "sigmoid")})
        self.c = nn.ModuleDict({k: nn.Linear(channels, channels) for k in ("v_tanh", "v_sigmoid", "h_tanh", "h_sigmoid")})

    def forward(self, v, h, condition=None):
        padded_v, padded_h = F.pad(v, (self.p, self.p, self.p, 0)), F.pad(h, (self.p, 0, 0, 0))
        if self.first:
            padded_v, padded_h = padded_v[:, :, :-1], padded_h[..., :-1]
        gates = {}
        for kind in ("tanh", "sigmoid"):
            gates["v", kind] = self.v[kind](padded_v)
            gates["h", kind] = self.h[kind](padded_h) + gates["v", kind]
        if condition is not None:
            for stack, kind in gates:
                gates[stack, kind] = gates[stack, kind] + self.c[f"{stack}_{kind}"](condition)[:, :, None, None]
        v_out, h_out = (torch.tanh(gates[s, "tanh"]) * torch.sigmoid(gates[s, "sigmoid"]) for s in "vh")
        return v_out, h_out if self.first else h + h_out
