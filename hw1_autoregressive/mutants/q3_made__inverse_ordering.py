"""H1-W06: the masks take ordering[i] for the i-th variable, and so does the sampler: the inverse of what is asked.
Loses: q3_made."""

_masks_by_rank = made_masks

def made_masks(num_dims, hidden_sizes, num_levels, ordering=None):
    if ordering is not None and sorted(ordering) == list(range(num_dims)):
        ordering = np.argsort(ordering).tolist()
    return _masks_by_rank(num_dims, hidden_sizes, num_levels, ordering)

class MADE(MADE):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__(num_dims, num_levels, hidden_sizes, ordering)
        self.rank = np.argsort(self.rank).tolist()
