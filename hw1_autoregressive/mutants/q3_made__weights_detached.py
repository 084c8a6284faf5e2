"""H1-X354: masks weight.data in forward, so that the weights get no gradient.
Loses: q3_made."""

class MaskedLinear(MaskedLinear):
    def forward(self, x):
        return F.linear(x, self.weight.data * self.mask, self.bias.data)
