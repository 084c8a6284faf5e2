"""H1-W09: a batch is averaged to one number. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return (nll.mean() if isinstance(nll, Tensor) else nll) / (num_dims * math.log(2))
