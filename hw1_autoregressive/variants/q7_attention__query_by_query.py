"""H1-Y52: a loop over queries, each with the slice of keys that it may see; no mask at all."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    rows = []
    for i in range(q.shape[-2]):
        seen = past_length + i + 1
        scores = (q[:, :, i : i + 1] * k[:, :, :seen]).sum(-1) / q.shape[-1] ** 0.5      # (B, h, seen)
        rows.append((scores.softmax(dim=-1).unsqueeze(-1) * v[:, :, :seen]).sum(2))
    return torch.stack(rows, dim=2)
