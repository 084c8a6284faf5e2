"""H1-X357: logits come as (B, K, D).
Loses: q3_made."""

class MADE(MADE):
    def logits(self, x):
        return super().logits(x).transpose(1, 2)

    def log_prob(self, x):
        return -F.cross_entropy(self.logits(x), x, reduction="none").sum(dim=1)
