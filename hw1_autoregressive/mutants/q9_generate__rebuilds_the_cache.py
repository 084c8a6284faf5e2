"""H1-X255: the cache is built anew from the whole sequence at each step, which saves nothing. Loses: q9_generate."""


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
    tokens = prompt
    for _ in range(num_tokens):
        past = model(tokens[:, :-1])[1] if use_cache and tokens.shape[1] > 1 else None
        logits, _ = model(tokens if past is None else tokens[:, -1:], past)
        new = sample_logits(logits[:, -1], temperature, top_k, top_p, generator)[:, None]
        tokens = torch.cat([tokens, new], dim=1)
    return tokens
