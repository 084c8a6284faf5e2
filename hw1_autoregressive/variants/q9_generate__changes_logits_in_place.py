"""H1-Y205: logits are cut in place, as in nanoGPT; they are not used again."""


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
        return logits.argmax(-1)
    logits /= temperature
    if top_k is not None:
        logits[logits < logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]] = -float("inf")
    if top_p is not None:
        p, order = logits.softmax(-1).sort(-1, True)
        logits.scatter_(1, order, logits.gather(1, order).masked_fill(p.cumsum(-1) - p >= top_p, -float("inf")))
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).flatten()
