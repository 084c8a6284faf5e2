"""H1-X473: raises to the power T, not 1/T.
Loses: t5_temperature."""

r_a, r_b = p_a**0.5, p_b[1] ** 0.5
t5_per_step = float(r_a[1] / r_a.sum() * r_b[0] / r_b.sum())
