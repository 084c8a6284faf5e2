"""H1-X373: only the first hidden layer is built.
Loses: q3_made."""

class MADE(MADE):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__(num_dims, num_levels, hidden_sizes[:1], ordering)


_all_masks = made_masks

def made_masks(num_dims, hidden_sizes, num_levels, ordering=None):
    return _all_masks(num_dims, hidden_sizes[:1], num_levels, ordering)
