"""H1-W15: logits.view(-1, K) pairs logits with the wrong targets.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def log_prob(self, x, y=None):
        return -F.cross_entropy(self.logits(x, y).reshape(-1, self.num_levels), x.reshape(-1), reduction="none").view(len(x), -1).sum(1)
