"""H1-W09: the logarithm is of base 10. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll / (num_dims * math.log10(2))
