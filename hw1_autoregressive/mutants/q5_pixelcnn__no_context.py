"""H1-X427: the input is multiplied by zero: no conditional depends on anything.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    def __init__(self, image_shape, num_levels, hidden, num_layers, num_classes=None):
        nn.Module.__init__(self)
        self.image_shape, self.num_levels, self.num_classes = tuple(image_shape), num_levels, num_classes
        colors = image_shape[0]
        self.first = MaskedConv2d(colors, hidden, 7, "A", colors)
        self.layers = nn.ModuleList(MaskedConv2d(hidden, hidden, 3, "B", colors) for _ in range(num_layers))
        self.last = MaskedConv2d(hidden, colors * num_levels, 1, "B", colors)
        self.label = None if num_classes is None else nn.Embedding(num_classes, hidden)

    def logits(self, x, y=None):
        if (y is None) != (self.num_classes is None):
            raise ValueError("labels and num_classes do not fit")
        h = self.first(0.0 * x)
        if y is not None:
            h = h + self.label(y)[:, :, None, None]
        for layer in self.layers:
            h = h + layer(F.relu(h))
        out = self.last(F.relu(h))
        return out.view(len(x), -1, self.num_levels, *x.shape[2:]).transpose(1, 2)
