"""H1-W09: the number of examples divides too. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll / (num_dims * math.log(2) * (len(nll) if isinstance(nll, Tensor) else 1))
