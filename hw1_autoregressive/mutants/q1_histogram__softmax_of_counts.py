"""H1-W35: takes the softmax of the counts.
Loses: q1_histogram."""

def fit_histogram(x, num_levels):
    return torch.bincount(x, minlength=num_levels).float().softmax(0)
