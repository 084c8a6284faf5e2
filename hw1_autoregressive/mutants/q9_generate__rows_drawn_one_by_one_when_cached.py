"""H1-X263: cached generation runs row by row, so random numbers go to other tokens than without a cache. Loses:
q9_generate.
"""


def _loop(model, prompt, num_tokens, use_cache, temperature, top_k, top_p, generator):
    tokens, fed, cache = prompt, prompt, None
    for _ in range(num_tokens):
        logits, cache = model(fed, cache if use_cache else None)
        new = sample_logits(logits[:, -1], temperature, top_k, top_p, generator)[:, None]
        tokens = torch.cat([tokens, new], dim=1)
        fed = new if use_cache else tokens
    return tokens


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
    rows = prompt.split(1) if use_cache else [prompt]
    return torch.cat([_loop(model, row, num_tokens, use_cache, temperature, top_k, top_p, generator) for row in rows])
