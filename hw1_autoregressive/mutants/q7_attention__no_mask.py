"""H1-X62: there is no mask. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
