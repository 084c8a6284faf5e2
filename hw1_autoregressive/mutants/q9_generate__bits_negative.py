"""H1-W09: the sign of a log-likelihood is turned although nll comes in. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return -nll / (num_dims * math.log(2))
