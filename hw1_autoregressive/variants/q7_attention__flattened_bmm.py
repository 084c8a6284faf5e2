"""H1-Y55: batch and heads are flattened into one axis for bmm."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    batch, heads, length, width = q.shape
    q, k, v = (x.reshape(batch * heads, -1, width) for x in (q, k, v))
    scores = torch.bmm(q, k.transpose(1, 2)).mul(width**-0.5)
    keep = torch.tril(torch.ones(k.shape[1], k.shape[1], device=q.device))[past_length:]
    scores = scores.masked_fill(keep == 0, float("-inf"))
    return torch.bmm(torch.softmax(scores, dim=2), v).view(batch, heads, length, width)
