"""H1-Y04: hidden degrees in random order but each of them present, masks as float buffers that are saved, ELU."""

def made_masks(num_dims, hidden_sizes, num_levels, ordering=None):
    rank = np.arange(num_dims) if ordering is None else np.asarray(ordering)
    if rank.shape != (num_dims,) or set(rank.tolist()) != set(range(num_dims)):
        raise ValueError("no permutation")
    masks, before = [], rank
    for size in hidden_sizes:
        degrees = np.random.permutation(np.arange(size) % max(num_dims - 1, 1))
        masks.append(torch.tensor(degrees[:, None] >= before[None, :], dtype=torch.float32))
        before = degrees
    last = np.repeat(rank, num_levels)[:, None] > before[None, :]
    return masks + [torch.tensor(last, dtype=torch.float32)]

class MADE(nn.Module):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__()
        self.D, self.K = num_dims, num_levels
        masks = made_masks(num_dims, hidden_sizes, num_levels, ordering)
        self.names = []
        self.linears = nn.ModuleList()
        for i, mask in enumerate(masks):
            self.linears.append(nn.Linear(mask.shape[1], mask.shape[0]))
            self.register_buffer(f"mask{i}", mask)
        self.order = sorted(range(num_dims), key=lambda d: d if ordering is None else ordering[d])

    def logits(self, x):
        h = x.float() * (2 / (self.K - 1)) - 1
        for i, linear in enumerate(self.linears):
            h = torch.addmm(linear.bias, h, (linear.weight * getattr(self, f"mask{i}")).T)
            if i + 1 < len(self.linears):
                h = F.elu(h)
        return h.reshape(-1, self.D, self.K)

    def log_prob(self, x):
        return torch.distributions.Categorical(logits=self.logits(x)).log_prob(x).sum(-1)

    def sample(self, n, generator=None):
        x = torch.randint(self.K, (n, self.D))          # what is not drawn yet has no influence
        with torch.no_grad():
            for d in self.order:
                cdf = self.logits(x)[:, d].softmax(-1).cumsum(-1)
                u = torch.rand(n, 1, generator=generator) * cdf[:, -1:]
                x[:, d] = (cdf < u).sum(-1).clamp(max=self.K - 1)
        return x
