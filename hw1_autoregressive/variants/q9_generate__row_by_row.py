"""H1-Y204: a loop over rows, with torch.distributions-like plain code."""


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
    drawn = []
    for row in logits:
        if temperature == 0:
            drawn.append(row.argmax())
            continue
        probs = torch.softmax(row / temperature, dim=0)
        order = sorted(range(len(row)), key=lambda i: -float(probs[i]))
        order = order[:top_k]
        probs = probs[order] / probs[order].sum()
        count = len(order)
        if top_p is not None:
            total = 0.0
            for count, p in enumerate(probs.tolist(), start=1):
                total += p
                if total >= top_p - 1e-7:
                    break
        drawn.append(torch.tensor(order)[torch.multinomial(probs[:count], 1, generator=generator)[0]])
    return torch.stack(drawn)
