"""H1-X343: masks have shape (in, out), and the layers turn them around.
Loses: q3_made."""

_right_masks = made_masks

def made_masks(num_dims, hidden_sizes, num_levels, ordering=None):
    return [mask.T for mask in _right_masks(num_dims, hidden_sizes, num_levels, ordering)]

class MaskedLinear(MaskedLinear):
    def __init__(self, mask):
        super().__init__(mask.T)
