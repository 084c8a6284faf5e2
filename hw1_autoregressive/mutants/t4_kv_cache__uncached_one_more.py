"""H1-X472: counts a last pass over the finished sequence.
Loses: t4_kv_cache."""

t4_uncached = sum(range(33, 33 + 224 + 1))
