"""H1-W09: nats are multiplied by ln 2. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll * math.log(2) / num_dims
