"""H1-X65: exp without subtracting the largest score: large scores give NaN. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    weights = scores.exp() * ~future
    return weights / weights.sum(dim=-1, keepdim=True) @ v
