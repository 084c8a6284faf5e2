"""H1-X358: log_prob is the mean over dimensions.
Loses: q3_made."""

class MADE(MADE):
    def log_prob(self, x):
        return super().log_prob(x) / self.num_dims
