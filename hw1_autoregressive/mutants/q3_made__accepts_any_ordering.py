"""H1-X365: an ordering that is no permutation is accepted.
Loses: q3_made."""

def made_masks(num_dims, hidden_sizes, num_levels, ordering=None):
    rank = torch.arange(num_dims) if ordering is None else torch.as_tensor(ordering)
    degrees = [rank] + [torch.arange(size) % max(1, num_dims - 1) for size in hidden_sizes]
    masks = [after[:, None] >= before[None, :] for before, after in zip(degrees, degrees[1:])]
    return [*masks, rank.repeat_interleave(num_levels)[:, None] > degrees[-1][None, :]]
