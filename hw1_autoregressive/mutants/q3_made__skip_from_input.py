"""H1-X356: a direct connection from input to output without a mask.
Loses: q3_made."""

class MADE(MADE):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__(num_dims, num_levels, hidden_sizes, ordering)
        self.skip = nn.Linear(num_dims, num_dims * num_levels)

    def logits(self, x):
        return super().logits(x) + self.skip(x.float()).view(len(x), self.num_dims, self.num_levels)
