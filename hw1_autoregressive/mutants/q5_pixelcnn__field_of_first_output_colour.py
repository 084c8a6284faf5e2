"""H1-X460: receptive_field looks at the first colour's logits only.
Loses: q5_pixelcnn."""

@torch.no_grad()
def receptive_field(logits_fn, image_shape, row, col):
    colors, height, width = image_shape
    moved = torch.zeros(height, width, dtype=torch.bool)
    for _ in range(4):
        base = torch.randint(0, 2, (1, *image_shape))
        before = logits_fn(base)
        for k in range(colors):
            for r in range(height):
                for c in range(width):
                    x = base.clone()
                    x[0, k, r, c] = 1 - x[0, k, r, c]
                    moved[r, c] |= (logits_fn(x) != before)[:, :, 0, row, col].any()
    return moved
