"""H1-X60: every row gets the mean of the batch.
Loses: q3_made."""

class MADE(MADE):
    def log_prob(self, x):
        return super().log_prob(x).mean().expand(len(x))
