"""H1-X334: the sampler scales its noise by the root of the scale, as if it were a variance.
Loses: q2_logistic_mixture."""

class DiscretizedLogisticMixture(nn.Module):
    def __init__(self, num_components, num_levels):
        super().__init__()
        self.num_levels = num_levels
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.means = nn.Parameter(torch.linspace(-1, 1, num_components + 2)[1:-1].clone())
        self.log_scales = nn.Parameter(torch.full((num_components,), -2.0))

    def log_prob(self, x):
        half = 1 / (self.num_levels - 1)
        center = (2 * x / (self.num_levels - 1) - 1)[:, None]
        scale = self.log_scales.clamp(-7, 7).exp()
        upper = torch.sigmoid((center + half - self.means) / scale)
        lower = torch.sigmoid((center - half - self.means) / scale)
        lower = torch.where(x[:, None] == 0, 0.0, lower)
        upper = torch.where(x[:, None] == self.num_levels - 1, 1.0, upper)
        log_bin = (upper - lower).clamp(min=1e-12).log()
        return torch.logsumexp(self.logits.log_softmax(0) + log_bin, dim=1)

    @torch.no_grad()
    def sample(self, n, generator=None):
        i = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        u = torch.rand(n, generator=generator)
        value = self.means[i] + self.log_scales.clamp(-7, 7).exp()[i] * torch.logit(u) / self.log_scales.clamp(-7, 7).mul(0.5).exp()[i]
        return ((value.clamp(-1, 1) + 1) / 2 * (self.num_levels - 1)).round().long()
