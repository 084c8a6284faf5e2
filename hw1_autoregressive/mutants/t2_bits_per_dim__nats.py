"""H1-X303: nats per dimension: the base is not changed.
Loses: t2_bits_per_dim."""

t2_bits_per_dim_value = 6230.4 / (3 * 32 * 32)
