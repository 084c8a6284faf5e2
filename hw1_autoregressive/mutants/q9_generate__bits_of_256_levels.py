"""H1-W09: eight bits are added, as for dequantised data. Loses: q9_generate."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return nll / (num_dims * math.log(2)) + 8
