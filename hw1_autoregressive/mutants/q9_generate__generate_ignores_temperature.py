"""H1-X256: generate does not pass the temperature on, but for 0. Loses: q9_generate."""


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
        new = sample_logits(logits[:, -1], temperature and 1.0, top_k, top_p, generator)[:, None]
        tokens = torch.cat([tokens, new], dim=1)
        fed = new if use_cache else tokens
    return tokens
