"""H1-A12: scales by softplus, means by tanh, levels counted from 0 to num_levels-1 inside."""

class DiscretizedLogisticMixture(nn.Module):
    def __init__(self, num_components, num_levels):
        super().__init__()
        self.num_levels = num_levels
        self.theta_scale = nn.Parameter(torch.zeros(num_components))
        self.theta_mean = nn.Parameter(torch.linspace(-1.2, 1.2, num_components) + 0.1)
        self.theta_weight = nn.Parameter(0.1 * torch.randn(num_components))

    def shape(self):
        middle = (self.num_levels - 1) / 2
        return middle * (1 + 1.2 * torch.tanh(self.theta_mean)), middle * (F.softplus(self.theta_scale) + 1e-3)

    def log_prob(self, x):
        mean, scale = self.shape()
        x = x.to(mean.dtype)[:, None]
        above = torch.where(x < self.num_levels - 1, (x + 0.5 - mean) / scale, torch.full_like(x, 1e4))
        below = torch.where(x > 0, (x - 0.5 - mean) / scale, torch.full_like(x, -1e4))
        # log(sigmoid(a) - sigmoid(b)) for a > b, without cancellation
        log_bin = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1((below - above).clamp(max=-1e-8)))
        return torch.logsumexp(F.log_softmax(self.theta_weight, 0) + log_bin, 1)

    @torch.no_grad()
    def sample(self, n, generator=None):
        mean, scale = self.shape()
        gumbel = -torch.log(-torch.log(torch.rand(n, len(mean), generator=generator).clamp(1e-12, 1 - 1e-7)))
        which = (self.theta_weight + gumbel).argmax(1)
        u = torch.rand(n, generator=generator).clamp(1e-7, 1 - 1e-7)
        level = mean[which] + scale[which] * torch.log(u / (1 - u))
        return level.round().clamp(0, self.num_levels - 1).to(torch.int64)
