"""H1-Y16: the product as an array of floats."""

t6_product = np.array(t6_product, dtype=float)
