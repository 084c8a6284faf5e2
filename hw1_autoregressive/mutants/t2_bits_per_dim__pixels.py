"""H1-X304: shares among pixels and not among all values.
Loses: t2_bits_per_dim."""

t2_bits_per_dim_value = 6230.4 / (32 * 32 * math.log(2))
