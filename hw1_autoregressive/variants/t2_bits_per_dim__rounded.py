"""H1-Y14: the answer to two decimals."""

t2_bits_per_dim_value = 2.93
