"""H1-X437: every image gets the mean of the batch.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def log_prob(self, x, y=None):
        return super().log_prob(x, y).mean().expand(len(x)).clone()
