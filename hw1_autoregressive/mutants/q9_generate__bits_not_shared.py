"""H1-W09: bits are not divided by the number of dimensions. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll / math.log(2)
