"""H1-X474: the joint is sharpened and not normalised.
Loses: t5_temperature."""

t5_joint = float((p_a[1] * p_b[1, 0]) ** 2)
