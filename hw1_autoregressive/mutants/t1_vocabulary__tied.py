"""H1-X302: counts one matrix, as if input and output were tied.
Loses: t1_vocabulary."""

t1_extra_parameters = (128_256 - 32_000) * (640 + 1)
