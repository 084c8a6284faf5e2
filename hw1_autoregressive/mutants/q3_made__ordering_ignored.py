"""H1-X368: masks and sampler keep the natural order.
Loses: q3_made."""

class MADE(MADE):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        made_masks(num_dims, hidden_sizes, num_levels, ordering)
        super().__init__(num_dims, num_levels, hidden_sizes)
