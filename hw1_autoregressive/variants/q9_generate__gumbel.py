"""H1-Y202: draws by the Gumbel trick, in float64."""


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
    logits = logits.double()
    if temperature == 0:
        return logits.max(dim=1).indices
    logits = (logits / temperature).log_softmax(1)
    if top_k is not None and top_k < logits.shape[1]:
        logits = logits.masked_fill(logits.argsort(1, descending=True).argsort(1) >= top_k, -math.inf).log_softmax(1)
    if top_p is not None:
        order = logits.argsort(1, descending=True)
        total = logits.exp().gather(1, order).cumsum(1)
        keep = torch.cat([torch.ones_like(total[:, :1], dtype=torch.bool), total[:, :-1] < top_p], 1)
        logits = logits.masked_fill(~torch.zeros_like(keep).scatter(1, order, keep), -math.inf)
    noise = torch.rand(logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
    return (logits - (-noise.clamp_min(1e-300).log()).log()).argmax(1)
