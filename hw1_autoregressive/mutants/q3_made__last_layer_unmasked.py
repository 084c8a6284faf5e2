"""H1-X355: the output layer is a plain linear layer.
Loses: q3_made."""

class MADE(MADE):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__(num_dims, num_levels, hidden_sizes, ordering)
        self.layers[-1].mask = torch.ones_like(self.layers[-1].mask)
