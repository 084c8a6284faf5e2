"""H1-X457: receptive_field looks at one image of zeros.
Loses: q5_pixelcnn."""

@torch.no_grad()
def receptive_field(logits_fn, image_shape, row, col):
    colors, height, width = image_shape
    moved = torch.zeros(height, width, dtype=torch.bool)
    for _ in range(1):
        base = torch.zeros(1, *image_shape, dtype=torch.int64)
        before = logits_fn(base)
        for k in range(colors):
            for r in range(height):
                for c in range(width):
                    x = base.clone()
                    x[0, k, r, c] = 1 - x[0, k, r, c]
                    moved[r, c] |= (logits_fn(x) != before)[..., row, col].any()
    return moved
