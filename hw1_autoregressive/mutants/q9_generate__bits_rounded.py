"""H1-X266: bits are rounded to whole numbers. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll / (num_dims * math.log(2)) // 1
