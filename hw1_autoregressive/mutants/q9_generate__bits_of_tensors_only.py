"""H1-X267: plain numbers are not served. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll.div(num_dims * math.log(2))
