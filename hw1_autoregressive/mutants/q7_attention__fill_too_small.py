"""H1-X66: hidden scores become -50, which large scores pass. Loses: q7_attention."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    return scores.masked_fill(future, -50.0).softmax(dim=-1) @ v
