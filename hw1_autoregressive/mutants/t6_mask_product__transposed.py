"""H1-X309: rows and columns of the product are swapped.
Loses: t6_mask_product."""

t6_product = [list(column) for column in zip(*t6_product)]
