"""H1-X361: log_prob is in bits.
Loses: q3_made."""

class MADE(MADE):
    def log_prob(self, x):
        return super().log_prob(x) / math.log(2)
