"""H1-Y06: masks as plain attributes used with torch.where, degrees spread by rounding, SiLU, log_prob by one-hot products."""

def made_masks(num_dims, hidden_sizes, num_levels, ordering=None):
    ordering = list(range(num_dims)) if ordering is None else [int(r) for r in ordering]
    if len(ordering) != num_dims or any(r not in ordering for r in range(num_dims)):
        raise ValueError("ordering is no permutation")
    layers = [ordering]
    for size in hidden_sizes:
        layers.append([min(num_dims - 2, i * (num_dims - 1) // size) if num_dims > 1 else 0 for i in range(size)])
    masks = [torch.tensor([[b >= a for a in before] for b in after]) for before, after in zip(layers, layers[1:])]
    last = [[r > degree for degree in layers[-1]] for r in ordering for _ in range(num_levels)]
    return [*masks, torch.tensor(last)]

class MADE(nn.Module):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__()
        self.masks = made_masks(num_dims, hidden_sizes, num_levels, ordering)
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(m.shape) * m.shape[1] ** -0.5) for m in self.masks])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(len(m))) for m in self.masks])
        self.shape, self.ordering = (num_dims, num_levels), ordering

    def logits(self, x):
        h = x / (self.shape[1] - 1) * 2 - 1
        for i, mask in enumerate(self.masks):
            h = F.linear(F.silu(h) if i else h, torch.where(mask, self.weights[i], 0.0), self.biases[i])
        return h.view(x.shape[0], *self.shape)

    def log_prob(self, x):
        return (self.logits(x).log_softmax(2) * F.one_hot(x, self.shape[1])).sum((1, 2))

    def sample(self, n, generator=None):
        x = torch.zeros(n, self.shape[0], dtype=torch.int64)
        steps = range(self.shape[0]) if self.ordering is None else np.argsort(self.ordering).tolist()
        for d in steps:
            x[:, d] = torch.multinomial(self.logits(x)[:, d].softmax(1).detach(), 1, generator=generator).squeeze(1)
        return x
