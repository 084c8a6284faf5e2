"""H1-X370: layer normalisation over all hidden units mixes their degrees: everything leaks.
Loses: q3_made."""

class MADE(MADE):
    def logits(self, x):
        h = (2 * x / (self.num_levels - 1) - 1).float()
        for layer in self.layers[:-1]:
            h = F.layer_norm(F.relu(layer(h)), (layer.out_features,))
        return self.layers[-1](h).view(len(x), self.num_dims, self.num_levels)
