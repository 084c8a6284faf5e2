"""H1-Y207: with a cache the prompt is read one token at a time; the model is put in eval mode and back."""


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
    was_training = model.training
    model.eval()
    tokens, cache = prompt.clone(), None
    if use_cache:
        for i in range(prompt.shape[1] - 1):
            _, cache = model(prompt[:, i : i + 1], cache)
    for _ in range(num_tokens):
        logits, cache = model(tokens[:, -1:], cache) if use_cache else (model(tokens, None)[0], None)
        tokens = torch.hstack([tokens, sample_logits(logits[:, -1], temperature, top_k, top_p, generator).view(-1, 1)])
    model.train(was_training)
    return tokens
