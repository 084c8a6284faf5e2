"""H1-Y51: the offset is taken from the shapes, which say the same as past_length."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    offset = k.shape[-2] - q.shape[-2]
    scores = torch.einsum("bhid,bhjd->bhij", q / q.shape[-1] ** 0.5, k)
    hidden = torch.ones_like(scores, dtype=torch.bool).triu(offset + 1)
    return torch.einsum("bhij,bhjd->bhid", scores.masked_fill(hidden, float("-inf")).softmax(-1), v)
