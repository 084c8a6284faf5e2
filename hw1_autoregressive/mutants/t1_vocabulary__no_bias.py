"""H1-X301: the output layer's bias is not counted.
Loses: t1_vocabulary."""

t1_extra_parameters = (128_256 - 32_000) * 2 * 640
