"""Sampling and generation, checked with models whose probabilities are known.

The stub models are tables of secret numbers: logits after a prefix are the sum of one row per token and position. So the
right tokens can be computed here, and a wrong use of the cache (a token read twice, or not at all) gives other tokens.
"""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, close_number, require_levels, require_tensor
from autograder.checking.statistics import chain_log_prob, chi_square, frequencies_match, fresh_seed, two_stage

DRAWS, LEVEL = 1000, 1e-4

MODEL = """
class Table(nn.Module):
    '''logits at position t = sum over i <= t of table[i, token_i]; the cache is (number of tokens, sum so far).'''

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)
        self.scale = nn.Parameter(torch.ones(()))
        self.context_length, self.vocab_size = table.shape[:2]

    def forward(self, idx, cache=None):
        past, total = (0, 0) if cache is None else cache
        length = past + idx.shape[1]
        if length > self.context_length:
            raise ValueError(f"{length} tokens do not fit a context of {self.context_length}")
        rows = self.table[torch.arange(past, length, device=idx.device), idx]
        logits = rows.cumsum(1) + (total if past == 0 else total[:, None])
        return logits * self.scale, (length, logits[:, -1])
"""
WITNESS = """
class Witness(nn.Module):
    '''Prefers token `yes` when the tokens before were read in earlier calls that handed on their cache, else `no`.'''

    def __init__(self, vocab_size, context_length, prompt_length, yes, no):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.vocab_size, self.context_length = vocab_size, context_length
        self.prompt_length, self.yes, self.no = prompt_length, yes, no

    def forward(self, idx, cache=None):
        past, calls = (0, 0) if cache is None else cache
        length = past + idx.shape[1]
        token = self.yes if calls >= length - self.prompt_length else self.no
        logits = torch.zeros(*idx.shape, self.vocab_size, device=idx.device)
        logits[..., token] = 20.0
        return logits * self.scale, (length, calls + 1)
"""


def shuffled(rng: torch.Generator, values: list[float]) -> Tensor:
    """The values as a row of logits in random order."""
    return torch.tensor(values)[torch.randperm(len(values), generator=rng)]


def draw(student, logits: Tensor, seed: int, **options) -> Tensor:
    """sample_logits on rows of logits, confirmed to be tokens."""
    found = student.sample_logits(logits, generator=student.generator(seed), **options)
    return require_levels(found, (len(logits),), logits.shape[1], "the tokens drawn")


def require_law(student, rng: torch.Generator, logits: Tensor, probabilities: Tensor, hint: str, **options) -> None:
    """Fail unless rows equal to `logits` (V,) are drawn with these probabilities (V,), and with no other token."""
    rows = logits.repeat(DRAWS, 1)

    def law(seed: int) -> Tensor:
        return draw(student, rows, seed, **options)

    assert frequencies_match(law, probabilities, rng), hint


def kept(probabilities: Tensor, keep: Tensor) -> Tensor:
    """Probabilities with all but the kept tokens removed, renormalised."""
    cut = probabilities * keep
    return cut / cut.sum()


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """(V,) bool: the smallest set of most likely tokens whose probability reaches top_p."""
    order = probabilities.argsort(descending=True)
    count = 1 + int((probabilities[order].cumsum(0)[:-1] < top_p).sum())
    return torch.zeros(len(order), dtype=torch.bool).index_fill(0, order[:count], True)


@weight(2)
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.5])
def test_temperature(student, rng, temperature):
    """Tokens are drawn from softmax(logits / temperature), whatever constant is added to all logits."""
    logits = shuffled(rng, [1.5, 0.9, 0.2, -0.4, -1.1])
    hint = "frequencies are not those of softmax(logits / temperature): is the temperature applied before the softmax?"
    require_law(
        student, rng, logits + 300, (logits.double() / temperature).softmax(0), hint, temperature=temperature
    )


@weight(1)
@pytest.mark.parametrize("name, value", [("temperature", 0.0), ("temperature", 1e-3), ("top_k", 1), ("top_p", 0.01)])
def test_most_likely(student, rng, name, value):
    """Temperature 0, or near it, top_k 1 and a tiny top_p each leave the most likely token of a row."""
    logits = torch.randn(40, 7, generator=rng).argsort(1).float()  # gaps of 1 between the tokens of a row
    found = draw(student, logits, fresh_seed(rng), **{name: value})
    assert torch.equal(found, logits.argmax(1)), f"with a {name} that leaves one token, another than the most likely is drawn"


@weight(1)
@pytest.mark.parametrize("top_k", [2, 3, 9])
def test_top_k(student, rng, top_k):
    """With top_k exactly the k most likely tokens (all, when there are fewer) can be drawn, in the proportions they had."""
    logits = shuffled(rng, [1.8, 1.1, 0.5, 0.1, -0.4, -0.8])
    probabilities = kept(logits.double().softmax(0), logits >= logits.sort(descending=True).values[: top_k][-1])
    hint = "with top_k the tokens drawn are not the k most likely ones in their old proportions"
    require_law(student, rng, logits, probabilities, hint, top_k=top_k)


@weight(2)
@pytest.mark.parametrize("top_p", [0.5, 0.8, 1.0])
def test_top_p(student, rng, top_p):
    """With top_p the smallest set of most likely tokens that reaches p can be drawn, the one that crosses p included."""
    shuffle = torch.randperm(6, generator=rng)
    probabilities = torch.tensor([0.34, 0.26, 0.15, 0.12, 0.08, 0.05]).double()[shuffle]
    allowed = kept(probabilities, nucleus(probabilities, top_p))
    hint = (
        "with top_p the tokens drawn are not those of the nucleus: the token that crosses p stays, at least one stays, and "
        "the cut is made in order of probability, then carried back to the tokens (Holtzman 2020, 3.1)"
    )
    require_law(student, rng, probabilities.log().float(), allowed, hint, top_p=top_p)


@weight(1)
def test_order_of_cuts(student, rng):
    """Temperature comes first, then top_k, then top_p on what top_k leaves."""
    shuffle = torch.randperm(6, generator=rng)
    probabilities = torch.tensor([0.30, 0.22, 0.18, 0.14, 0.10, 0.06]).double()[shuffle]
    logits = probabilities.log().float()
    for temperature, top_k, top_p in [(1.0, 3, 0.6), (3.0, None, 0.7), (0.4, None, 0.7), (2.0, 4, 0.85)]:
        warm = (probabilities.log() / temperature).softmax(0)
        if top_k is not None:
            warm = kept(warm, warm >= warm.sort(descending=True).values[top_k - 1])
        hint = "temperature, top_k and top_p together are not applied in this order, each to what the one before leaves"
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        require_law(student, rng, logits, kept(warm, nucleus(warm, top_p)), hint, **options)


@weight(1)
def test_rows_are_independent(student, rng):
    """Every row of a batch has its own draw from its own logits."""
    first, second = shuffled(rng, [1.0, 0.3, -0.5]), shuffled(rng, [0.6, 0.1, -0.9])
    rows = torch.stack([first, second]).repeat(DRAWS, 1)
    joint = (first.double().softmax(0)[:, None] * second.double().softmax(0)[None]).flatten()

    def pairs(seed: int) -> Tensor:
        found = draw(student, rows, seed).reshape(DRAWS, 2)
        return found[:, 0] * 3 + found[:, 1]

    assert frequencies_match(pairs, joint, rng), "rows are not drawn independently, each from its own logits"


@weight(1)
def test_generator(student, rng):
    """The generator alone decides the draws: the same seed repeats them, and it moves on from call to call."""
    logits, seed = torch.randn(200, 9, generator=rng), fresh_seed(rng)
    likely = torch.randint(9, (100,), generator=rng)
    logits[:100].scatter_(1, likely[:, None], 40.0)
    generator = student.generator(seed)
    for options in ({}, {"top_k": 5, "top_p": 0.9}):
        first, other = draw(student, logits, seed, **options), draw(student, logits, fresh_seed(rng), **options)
        assert torch.equal(first[:100], likely), "tokens that are all but certain are not drawn"
        assert torch.equal(first, draw(student, logits, seed, **options)), "the same generator seed gives other draws"
        assert not torch.equal(first, other), "another generator seed gives the same draws"
        calls = [student.sample_logits(logits, generator=generator, **options) for _ in range(2)]
        assert not torch.equal(*calls), "a second call with the same generator repeats the draws of the first"
        calls = [student.sample_logits(logits, **options) for _ in range(2)]
        assert not torch.equal(*calls), "without a generator two calls give the same draws"


@weight(1)
def test_refuses(student, rng):
    """A negative temperature, a top_k below 1 and a top_p outside (0, 1] are refused with a ValueError."""
    logits = torch.randn(40, 7, generator=rng).argsort(1).float()
    assert torch.equal(draw(student, logits, 0, top_k=1, top_p=1.0), logits.argmax(1)), "good arguments are not served"
    bad = [{"temperature": -0.5}, {"top_k": 0}, {"top_k": -2}, {"top_p": 0.0}, {"top_p": -0.1}, {"top_p": 1.5}]
    for options in bad:
        assert student.refuses(ValueError, student.sample_logits, logits, **options), (
            f"an impossible {next(iter(options))} is accepted"
        )


def table_model(student, rng: torch.Generator, vocab: int, context: int, scale: float = 1.0) -> tuple:
    """(stub in the jail, its table): logits are sums of secret rows."""
    table = scale * torch.randn(context, vocab, vocab, generator=rng)
    return student.stub(MODEL, "Table", table=table), table


def greedy(table: Tensor, tokens: Tensor, num_tokens: int) -> Tensor:
    """The most likely continuation, one token at a time."""
    for _ in range(num_tokens):
        position = torch.arange(tokens.shape[1])
        best = table[position, tokens].sum(1).argmax(1)
        tokens = torch.cat([tokens, best[:, None]], 1)
    return tokens


@weight(3)
@pytest.mark.parametrize("use_cache", [True, False], ids=["with cache", "without"])
def test_generate_follows_the_model(student, rng, use_cache):
    """Each new token comes from the logits at the last position, given the prompt and all new tokens before it."""
    vocab, num_tokens = 7, 6
    for batch, prompt_length in ((5, 4), (3, 1)):
        model, table = table_model(student, rng, vocab, prompt_length + num_tokens)
        prompt = torch.randint(vocab, (batch, prompt_length), generator=rng)
        found = student.generate(model, prompt, num_tokens, use_cache=use_cache, temperature=0.0)
        found = require_levels(found, (batch, prompt_length + num_tokens), vocab, "the sequences")
        assert torch.equal(found[:, :prompt_length], prompt), "the result does not begin with the prompt"
        assert torch.equal(found, greedy(table, prompt, num_tokens)), (
            "new tokens are not the most likely ones: which position's logits are used, and what is read with the cache?"
        )


@weight(1)
def test_cache_is_used_when_asked(student, rng):
    """With use_cache earlier tokens are read once and carried by the cache; without, no cache is handed in."""
    vocab, batch, prompt_length, num_tokens = 6, 3, 3, 5
    yes, no = (int(i) for i in torch.randperm(vocab, generator=rng)[:2])
    prompt = torch.randint(vocab, (batch, prompt_length), generator=rng)
    sizes = {"vocab_size": vocab, "context_length": prompt_length + num_tokens, "prompt_length": prompt_length}
    for use_cache, token in ((True, yes), (False, no)):
        model = student.stub(WITNESS, "Witness", yes=yes, no=no, **sizes)
        found = student.generate(model, prompt, num_tokens, use_cache=use_cache, temperature=0.0)
        found = require_levels(found, (batch, prompt_length + num_tokens), vocab, "the sequences")
        assert (found[:, prompt_length + 1 :] == token).all(), (
            "with use_cache=True the sequence is read again, or the cache is not handed on"
            if use_cache
            else "with use_cache=False a cache is handed in"
        )


def continuations(student, model, prompt: Tensor, vocab: int, seed: int, **options) -> Tensor:
    """Two new tokens per row, as one number in 0..vocab^2-1."""
    found = student.generate(model, prompt, 2, generator=student.generator(seed), **options)
    found = require_levels(found, (len(prompt), prompt.shape[1] + 2), vocab, "the sequences")
    return found[:, -2] * vocab + found[:, -1]


def pair_law(table: Tensor, prompt: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    """Probabilities (V^2,) of two new tokens after one prompt (T,)."""

    def step(tokens: Tensor) -> Tensor:
        warm = (table[torch.arange(len(tokens)), tokens].sum(0).double() / temperature).softmax(0)
        if top_k is not None:
            warm = kept(warm, warm >= warm.sort(descending=True).values[top_k - 1])
        return warm if top_p is None else kept(warm, nucleus(warm, top_p))

    first = step(prompt)
    rows = [step(torch.cat([prompt, torch.tensor([token])])) for token in range(len(first))]
    return (first[:, None] * torch.stack(rows)).flatten()


@weight(2)
@pytest.mark.parametrize("use_cache", [True, False], ids=["with cache", "without"])
def test_generate_draws_the_joint(student, rng, use_cache):
    """Sequences occur as often as the product of their conditionals, under the temperature and cuts that were asked for."""
    vocab = 4
    prompt = torch.randint(vocab, (2,), generator=rng)
    for options in ({"temperature": 1.0}, {"temperature": 0.4}, {"top_k": 2}, {"top_p": 0.55}):
        model, table = table_model(student, rng, vocab, 4, scale=0.6)
        full = {"temperature": 1.0, "top_k": None, "top_p": None} | options
        law = pair_law(table, prompt, **full)

        def p_value(seed: int, model=model, law=law, options=options) -> float:
            rows = prompt.repeat(DRAWS, 1)
            return chi_square(continuations(student, model, rows, vocab, seed, use_cache=use_cache, **options), law)

        assert two_stage(p_value, rng, LEVEL), (
            f"pairs of new tokens don't occur as often as they should with {next(iter(options))}: are all options passed on, "
            "and is each token drawn given the one before?"
        )


@weight(1)
def test_cached_and_uncached_agree(student, rng):
    """From the same generator seed the same tokens are drawn with and without a cache, and others from another seed."""
    vocab, num_tokens = 9, 8
    model, table = table_model(student, rng, vocab, 4 + num_tokens, scale=0.5)
    prompt, seed = torch.randint(vocab, (40, 4), generator=rng), fresh_seed(rng)

    def run(seed: int, use_cache: bool) -> Tensor:
        found = student.generate(
            model, prompt, num_tokens, use_cache=use_cache, top_k=7, generator=student.generator(seed)
        )
        return require_levels(found, (40, 4 + num_tokens), vocab, "the sequences")

    first = run(seed, True)
    logits = table[torch.arange(4 + num_tokens), first].cumsum(1)[:, 3:-1]
    assert chain_log_prob(logits, first[:, 4:]).mean() > -num_tokens * math.log(vocab), "the model does not decide the tokens"
    assert torch.equal(first, run(seed, True)), "the same generator seed gives other sequences: is the generator passed on?"
    assert torch.equal(first, run(seed, False)), "cached and uncached generation draw different tokens from the same seed"
    assert not torch.equal(first, run(fresh_seed(rng), True)), "another generator seed gives the same sequences"


@weight(1)
def test_bits_per_dim(student, rng):
    """A uniform model over K levels costs log2 K bits per dimension, whatever the shape of the data."""
    for shape, levels in (((1, 28, 28), 4), ((3, 8, 5), 256), ((7,), 3)):
        num_dims = math.prod(shape)
        assert close_number(student.bits_per_dim(num_dims * math.log(levels), num_dims), math.log2(levels), rtol=1e-5), (
            "bits/dim of a uniform model is not log2 of its levels: nats to bits, shared among all dimensions"
        )


@weight(1)
def test_bits_per_dim_of_a_batch(student, rng):
    """A batch of likelihoods gives the bits/dim of each example."""
    bits = 0.5 + 3 * torch.rand(5, generator=rng)
    found = require_tensor(student.bits_per_dim(bits * 12 * math.log(2), 12), (5,), "float", "bits/dim of a batch")
    assert close(found, bits, rtol=1e-5), "bits/dim of a batch is not that of each of its examples"
