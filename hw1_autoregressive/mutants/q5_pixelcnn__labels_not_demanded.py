"""H1-X432: a model with classes works without labels, as if of class 0.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def logits(self, x, y=None):
        if y is None and self.num_classes is not None:
            y = torch.zeros(len(x), dtype=torch.int64)
        return super().logits(x, y)
