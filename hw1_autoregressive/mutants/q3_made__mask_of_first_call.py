"""H1-X353: the masked weight is computed in the first forward pass and kept.
Loses: q3_made."""

class MaskedLinear(MaskedLinear):
    def forward(self, x):
        if not hasattr(self, "kept"):
            self.kept = self.weight * self.mask
        return F.linear(x, self.kept, self.bias)
