"""H1-A05: torch.distributions does the work: a uniform variable through a logit and an affine map."""

class DiscretizedLogisticMixture(nn.Module):
    def __init__(self, num_components, num_levels):
        super().__init__()
        self.K = num_levels
        self.a = nn.Parameter(torch.zeros(num_components))
        self.b = nn.Parameter(torch.randn(num_components) * 0.5)
        self.c = nn.Parameter(torch.full((num_components,), -1.5))

    def components(self):
        transforms = torch.distributions.transforms
        base = torch.distributions.Uniform(torch.zeros_like(self.b), torch.ones_like(self.b), validate_args=False)
        chain = [transforms.SigmoidTransform().inv, transforms.AffineTransform(self.b, self.c.clamp(-6, 6).exp())]
        return torch.distributions.TransformedDistribution(base, chain, validate_args=False)

    def log_prob(self, x):
        x = x[:, None].float()
        edge = lambda k: (2 * k + 1) / (self.K - 1) - 1
        upper = torch.where(x == self.K - 1, torch.ones(()), self.components().cdf(edge(x)))
        lower = torch.where(x == 0, torch.zeros(()), self.components().cdf(edge(x - 1)))
        weights = torch.distributions.Categorical(logits=self.a).probs
        return ((upper - lower).clamp(min=1e-10) * weights).sum(-1).log()

    def sample(self, n, generator=None):
        with torch.no_grad():
            u = torch.rand(2, n, generator=generator)
            edges = self.a.softmax(0).cumsum(0)[:-1]
            which = torch.bucketize(u[0], edges)
            value = self.b[which] + self.c.clamp(-6, 6).exp()[which] * (u[1].log() - (1 - u[1]).log())
            return ((value + 1) * (self.K - 1) / 2).round().clamp(0, self.K - 1).long()
