"""H1-Y10: receptive_field flips one value a call, on six images, and compares with a tolerance."""


@torch.no_grad()
def receptive_field(logits_fn, image_shape, row, col):
    colors, height, width = image_shape
    moved = torch.zeros(height, width, dtype=torch.bool)
    for _ in range(6):
        base = torch.randint(0, 2, (1, *image_shape))
        before = logits_fn(base)
        for k in range(colors):
            for r in range(height):
                for c in range(width):
                    x = base.clone()
                    x[0, k, r, c] = 1 - x[0, k, r, c]
                    moved[r, c] |= ((logits_fn(x) - before).abs() > 1e-6)[..., row, col].any()
    return moved
