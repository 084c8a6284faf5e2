"""H1-Y11: receptive_field draws new colours for a whole pixel, several times; zeros and ones are among its images."""

def receptive_field(logits_fn, image_shape, row, col):
    colors, height, width = image_shape
    bases = [torch.zeros(image_shape, dtype=torch.long), torch.ones(image_shape, dtype=torch.long)]
    bases += [torch.randint(2, tuple(image_shape)) for _ in range(8)]
    field = torch.zeros(height, width, dtype=torch.bool)
    for base in bases:
        batch = base.repeat(height * width, 1, 1, 1)
        pixels = torch.arange(height * width)
        batch[pixels, :, pixels // width, pixels % width] ^= 1
        with torch.no_grad():
            change = logits_fn(batch)[:, :, :, row, col] - logits_fn(base[None])[:, :, :, row, col]
        field |= (change.abs().amax((1, 2)) > 0).view(height, width)
    return field
