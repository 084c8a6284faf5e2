"""H1-X438: log_prob takes class 0 whatever the label.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def log_prob(self, x, y=None):
        return super().log_prob(x, None if y is None else torch.zeros_like(y))
