"""H1-Y203: draws by inverting the cumulative distribution with one uniform number per row."""


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
    if temperature < 1e-8:
        return logits.argmax(1)
    p, token = torch.sort((logits / temperature).softmax(1), dim=1, descending=True)
    if top_k:
        p[:, top_k:] = 0
        p /= p.sum(1, keepdim=True)
    if top_p:
        p[p.cumsum(1) - p >= top_p - 1e-9] = 0
    cdf = (p / p.sum(1, keepdim=True)).cumsum(1)
    u = torch.rand(len(p), 1, generator=generator, device=p.device)
    place = torch.searchsorted(cdf, u, right=True)
    place = torch.minimum(place, (p > 0).sum(1, keepdim=True) - 1)
    return token.gather(1, place).squeeze(1)
