"""H1-X310: says whether there is a path, not how many.
Loses: t6_mask_product."""

t6_product = [[int(entry > 0) for entry in row] for row in t6_product]
