"""H1-X434: log_prob is the mean over pixels.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def log_prob(self, x, y=None):
        return super().log_prob(x, y) / x[0].numel()
