"""H1-X312: histc over the range of the data, which moves the bins when outer levels never occur.
Loses: q1_histogram."""

def fit_histogram(x, num_levels):
    return torch.histc(x.float(), bins=num_levels) / len(x)
