"""H1-X411: the masked weight is detached, the bias is not: training moves the biases alone.
Loses: q3_made."""

class MaskedLinear(MaskedLinear):
    def forward(self, x):
        return F.linear(x, (self.weight * self.mask).detach(), self.bias)
