"""H1-X71: keys are mixed where values should be. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ k
