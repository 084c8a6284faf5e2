"""H1-Y201: tokens are cut by comparing with the k-th largest logit and scattering the sorted cut back; nothing stays
sorted.
"""


def sample_logits(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    if temperature < 0:
        raise ValueError("temperature must not be negative")
    if top_k is not None and top_k < 1:
        raise ValueError("top_k must be at least 1")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError("top_p must lie in (0, 1]")
    if temperature == 0:
        return torch.argmax(logits, -1)
    logits = logits / temperature
    if top_k is not None:
        kth = torch.topk(logits, min(top_k, logits.size(-1))).values[:, [-1]]
        logits = torch.where(logits < kth, torch.full_like(logits, float("-inf")), logits)
    if top_p is not None:
        values, order = torch.sort(logits, descending=True)
        cut = F.softmax(values, dim=-1).cumsum(-1) > top_p
        cut[:, 1:] = cut[:, :-1].clone()
        cut[:, 0] = False
        logits = logits.masked_fill(cut.scatter(1, order, cut), float("-inf"))
    return torch.multinomial(F.softmax(logits, -1), num_samples=1, generator=generator).squeeze(-1)
