"""H1-X360: every row gets the mean of the batch.
Loses: q3_made."""

class MADE(MADE):
    def log_prob(self, x):
        return super().log_prob(x).mean().expand(len(x))
