"""H1-X55: the scale is applied to the weights after the softmax. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    scores = q @ k.transpose(-2, -1)
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) / math.sqrt(q.shape[-1]) @ v
