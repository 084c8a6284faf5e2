"""H1-Y206: the sequence is a preallocated tensor; caches are passed by name."""


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
    batch, start = prompt.shape
    tokens = prompt.new_empty(batch, start + num_tokens)
    tokens[:, :start] = prompt
    cache, read = None, 0
    for end in range(start, start + num_tokens):
        if use_cache:
            logits, cache = model(tokens[:, read:end], cache=cache)
            read = end
        else:
            logits, _ = model(tokens[:, :end])
        tokens[:, end] = sample_logits(logits[:, -1, :], temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    return tokens
