"""H1-Y209: log2(e) as a tensor, so plain numbers come back as tensors without dimensions."""


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    return torch.as_tensor(nll) * torch.log2(torch.tensor(math.e)) / num_dims
