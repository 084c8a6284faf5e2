"""H1-X436: log_prob is the negative log-likelihood.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def log_prob(self, x, y=None):
        return -super().log_prob(x, y)
