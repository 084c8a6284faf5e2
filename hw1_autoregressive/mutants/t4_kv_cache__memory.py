"""H1-X471: takes the memory of the cache for quadratic.
Loses: t4_kv_cache."""

t4_quadratic = "A"
