"""H1-W18: the mask multiplies the weights after the softmax, so they no longer sum to 1. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    return (scores.softmax(dim=-1) * ~future) @ v
