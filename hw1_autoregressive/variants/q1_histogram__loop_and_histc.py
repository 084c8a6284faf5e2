"""H1-Y02: histc with its range stated, after a loop that counts in Python."""

def fit_histogram(x, num_levels):
    counts = [0.0] * num_levels
    for level in x.tolist():
        counts[level] += 1
    by_histc = torch.histc(x.float(), bins=num_levels, min=-0.5, max=num_levels - 0.5)
    return (torch.tensor(counts) + by_histc) / (2 * x.numel())
