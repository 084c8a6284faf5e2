"""H1-X476: gives the parameters of the new tables, not how many come on top.
Loses: t1_vocabulary."""

t1_extra_parameters = 128_256 * (640 + 640 + 1)
