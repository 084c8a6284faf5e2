"""H1-W15: the output is viewed as (B, K, D) and transposed, which mixes dimensions.
Loses: q3_made."""

class MADE(MADE):
    def logits(self, x):
        right = super().logits(x)
        return right.reshape(len(x), self.num_levels, self.num_dims).transpose(1, 2)
