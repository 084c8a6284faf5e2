"""H1-X305: adds the kernels' sizes as if they did not overlap.
Loses: t3_receptive_field."""

t3_width = 9 + 8 * 5
