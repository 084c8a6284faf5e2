"""H1-X431: hidden widths that the colours do not divide are rounded up in silence.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def __init__(self, image_shape, num_levels, hidden, num_layers, num_classes=None):
        super().__init__(image_shape, num_levels, hidden + -hidden % image_shape[0], num_layers, num_classes)
