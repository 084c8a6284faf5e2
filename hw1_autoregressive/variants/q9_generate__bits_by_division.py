"""H1-A08: nats are divided by ln 2 first and by the number of dimensions then, in float64."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    if isinstance(nll, Tensor):
        return (nll.double() / math.log(2.0) / num_dims).to(nll.dtype)
    return float(nll) / math.log(2.0) / num_dims
