"""H1-X313: counts the levels that occur, one after the other, and fills up with zeros at the end.
Loses: q1_histogram."""

def fit_histogram(x, num_levels):
    counts = torch.unique(x, return_counts=True)[1]
    return F.pad(counts, (0, num_levels - len(counts))) / len(x)
