"""H1-X339: the scales are computed once, at construction, so that training never changes them.
Loses: q2_logistic_mixture."""

class DiscretizedLogisticMixture(DiscretizedLogisticMixture):
    def __init__(self, num_components, num_levels):
        super().__init__(num_components, num_levels)
        self.fixed = torch.full((num_components,), 0.2)

    def log_prob(self, x):
        half = 1 / (self.num_levels - 1)
        center = (2 * x / (self.num_levels - 1) - 1)[:, None]
        means = list(self.parameters())[1]
        upper, lower = (torch.sigmoid((center + s * half - means) / self.fixed) for s in (1, -1))
        lower = torch.where(x[:, None] == 0, 0.0, lower)
        upper = torch.where(x[:, None] == self.num_levels - 1, 1.0, upper)
        return ((upper - lower) * list(self.parameters())[0].softmax(0)).sum(1).clamp(min=1e-12).log()
