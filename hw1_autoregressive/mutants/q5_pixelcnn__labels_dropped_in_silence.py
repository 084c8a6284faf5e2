"""H1-X433: labels for a model without classes are dropped in silence.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def logits(self, x, y=None):
        return super().logits(x, None if self.num_classes is None else y)
