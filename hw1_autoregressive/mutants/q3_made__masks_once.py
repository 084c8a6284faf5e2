"""H1-W02: the mask multiplies weight.data at construction only; training refills it.
Loses: q3_made."""

class MaskedLinear(MaskedLinear):
    def __init__(self, mask):
        super().__init__(mask)
        self.weight.data *= mask

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)
