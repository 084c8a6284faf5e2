"""H1-W35: bincount without minlength, so that top levels that never occur are dropped.
Loses: q1_histogram."""

def fit_histogram(x, num_levels):
    return torch.bincount(x) / len(x)
