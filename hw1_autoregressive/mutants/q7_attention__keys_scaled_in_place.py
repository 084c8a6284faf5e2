"""H1-X67: the scale is multiplied into the caller's keys, so cached keys shrink at each use. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    k.mul_(q.shape[-1] ** -0.5)
    scores = q @ k.transpose(-2, -1)
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v
