"""H1-Y208: the token drawn last is fed as well, and its logits go unused."""


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
    logits, cache = model(prompt)
    tokens = [prompt]
    for _ in range(num_tokens):
        tokens.append(sample_logits(logits[:, -1], temperature, top_k, top_p, generator).unsqueeze(1))
        logits, cache = model(tokens[-1], cache) if use_cache else model(torch.cat(tokens, 1))
    return torch.cat(tokens, 1)
