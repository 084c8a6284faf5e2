"""H1-X371: activations are centred over the batch, so that rows depend on each other.
Loses: q3_made."""

class MADE(MADE):
    def logits(self, x):
        h = (2 * x / (self.num_levels - 1) - 1).float()
        for layer in self.layers[:-1]:
            h = layer(h)
            h = F.relu(h - h.mean(0))
        return self.layers[-1](h).view(len(x), self.num_dims, self.num_levels)
