"""H1-W35: divides the counts by the number of bins.
Loses: q1_histogram."""

def fit_histogram(x, num_levels):
    return torch.bincount(x, minlength=num_levels) / num_levels
