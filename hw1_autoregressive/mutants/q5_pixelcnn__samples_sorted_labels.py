"""H1-X454: the sampler sorts the labels.
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    @torch.no_grad()
    def sample(self, n, y=None, generator=None):
        colors, height, width = self.image_shape
        x = torch.zeros(n, colors, height, width, dtype=torch.int64)
        steps = [(k, r, c) for r in range(height) for c in range(width) for k in range(colors)]
        for k, r, c in steps:
            logits = self.logits(x, None if y is None else y.sort().values)
            probs = logits[:, :, k, r, c].softmax(1)
            x[:, k, r, c] = torch.multinomial(probs, 1, generator=generator)[:, 0]
        return x
