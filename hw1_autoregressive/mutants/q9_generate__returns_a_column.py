"""H1-X241: tokens come as (B, 1). Loses: q9_generate."""


def sample_logits(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"need temperature >= 0, top_k >= 1, 0 < top_p <= 1; got {temperature}, {top_k}, {top_p}")
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    logits, token = (logits / temperature).sort(dim=-1, descending=True)
    if top_k is not None:
        logits[:, top_k:] = -math.inf
    probs = logits.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        before = probs.cumsum(dim=-1) - probs
        probs = probs.masked_fill(before >= top_p, 0)
    return token.gather(1, torch.multinomial(probs, 1, generator=generator))


@torch.no_grad()
def generate(
    model: Callable,
    prompt: Tensor,
    num_tokens: int,
    use_cache: bool = True,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    tokens, fed, cache = prompt, prompt, None
    for _ in range(num_tokens):
        logits, cache = model(fed, cache if use_cache else None)
        new = sample_logits(logits[:, -1], temperature, top_k, top_p, generator)
        tokens = torch.cat([tokens, new], dim=1)
        fed = new if use_cache else tokens
    return tokens
