"""H1-X470: counts the layers of type B only.
Loses: t3_receptive_field."""

t3_width = 8 * (5 - 1) + 1
