"""H1-X456: the sampler returns levels scaled to [0, 1].
Loses: q5_pixelcnn."""

class PixelCNN(PixelCNN):
    @torch.no_grad()
    def sample(self, n, y=None, generator=None):
        colors, height, width = self.image_shape
        x = torch.zeros(n, colors, height, width, dtype=torch.int64)
        x = x.float()
        steps = [(k, r, c) for r in range(height) for c in range(width) for k in range(colors)]
        for k, r, c in steps:
            logits = self.logits(x.long(), y)
            probs = logits[:, :, k, r, c].softmax(1)
            x[:, k, r, c] = torch.multinomial(probs, 1, generator=generator)[:, 0]
        return x
