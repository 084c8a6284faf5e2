"""H1-X469: counts both sides and forgets the pixel itself.
Loses: t3_receptive_field."""

t3_width = 2 * (9 // 2 + 8 * (5 // 2))
