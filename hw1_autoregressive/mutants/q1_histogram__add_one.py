"""H1-X311: Laplace smoothing, which is no maximum likelihood.
Loses: q1_histogram."""

def fit_histogram(x, num_levels):
    return (torch.bincount(x, minlength=num_levels) + 1) / (len(x) + num_levels)
