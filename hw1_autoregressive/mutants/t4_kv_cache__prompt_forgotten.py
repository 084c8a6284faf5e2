"""H1-X307: the steps without a cache start from nothing, not from the prompt.
Loses: t4_kv_cache."""

t4_uncached = sum(range(1, 224 + 1))
