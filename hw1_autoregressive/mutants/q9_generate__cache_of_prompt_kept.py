"""H1-X251: the cache of the prompt is handed in at every step, and later ones are dropped. Loses: q9_generate."""


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
        logits, latest = model(fed, cache if use_cache else None)
        cache = latest if cache is None else cache
        new = sample_logits(logits[:, -1], temperature, top_k, top_p, generator)[:, None]
        tokens = torch.cat([tokens, new], dim=1)
        fed = new if use_cache else tokens
    return tokens
