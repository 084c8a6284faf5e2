"""GPT with a cache: causal, aware of positions, and the same whether a sequence is read at once or in pieces.

A cache is opaque: whatever a call returns is fed back once, and only logits are compared.
"""

import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.probes import influence, randomize, reload

VOCAB, CONTEXT, WIDTH, HEADS, LENGTH = 11, 8, 12, 3, 7

IN_PIECES = """
def in_pieces(model, idx, pieces):
    logits, cache, start = [], None, 0
    for size in pieces:
        out, cache = model(idx[:, start : start + size], cache)
        logits.append(out)
        start += size
    return torch.cat(logits, dim=1)
"""
IN_TURN = """
def in_turn(model, first, second, cut):
    a, cache_a = model(first[:, :cut])
    b, cache_b = model(second[:, :cut])
    c, cache_a = model(first[:, cut:], cache_a)
    d, cache_b = model(second[:, cut:], cache_b)
    return torch.cat([a, c], dim=1), torch.cat([b, d], dim=1)
"""


def make(student, rng: torch.Generator, depth: int = 2, heads: int = HEADS):
    """A small GPT in float64 with random weights, large enough that positions and contexts matter."""
    model = student.GPT(VOCAB, CONTEXT, WIDTH, depth, heads).double()
    randomize(student, model, rng)
    return model


def tokens(rng: torch.Generator, batch: int, length: int = LENGTH) -> Tensor:
    """Random sequences (B, T); rows 0 and 1 differ in the first token alone."""
    idx = torch.randint(VOCAB, (batch, length), generator=rng)
    idx[1] = idx[0]
    idx[1, 0] = (idx[0, 0] + 1) % VOCAB
    return idx


def logits_of(found: object, idx: Tensor) -> Tensor:
    """The logits (B, T, V) of what a call returned."""
    assert isinstance(found, (tuple, list)), "forward must return the pair (logits, cache)"
    assert len(found) == 2, "forward must return the pair (logits, cache)"
    return require_tensor(found[0], (*idx.shape, VOCAB), "float", "the logits")


def require_context(logits: Tensor) -> None:
    """Fail when logits ignore the context: rows 0 and 1 of `tokens` differ in the first token, so everywhere."""
    moved = (logits[0] - logits[1]).abs().amax(-1) > 1e-6
    assert moved.all(), "logits do not depend on the first token of the sequence"


@weight(3)
def test_causal(student, rng):
    """The logits at a position depend on every token up to it, and on no later one."""
    model = make(student, rng)
    moved = influence(lambda idx: logits_of(model(idx), idx), (LENGTH,), rng, levels=VOCAB, bases=4).any(1)
    earlier = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    assert not (moved & ~earlier).any(), "logits are moved by a token that comes after their position"
    assert not (earlier & ~moved).any(), "logits miss tokens at or before their position"


def partitions(rng: torch.Generator) -> list[list[int]]:
    """Ways to cut LENGTH tokens into pieces: one at a time, halves, and random ones."""
    found = [[1] * LENGTH, [1, LENGTH - 1], [LENGTH - 1, 1]]
    for _ in range(3):
        cuts = torch.rand(LENGTH - 1, generator=rng) < 0.4
        ends = [*(i + 1 for i in range(LENGTH - 1) if cuts[i]), LENGTH]
        found.append([b - a for a, b in zip([0, *ends], ends)])
    return found


@weight(4)
def test_cache_in_pieces(student, rng):
    """A sequence that is read in pieces, each with the cache of those before, has the logits of one pass."""
    model, idx = make(student, rng), tokens(rng, 3)
    whole = logits_of(model(idx), idx)
    require_context(whole)
    in_pieces = student.stub(IN_PIECES, "in_pieces")
    for pieces in partitions(rng):
        found = require_tensor(in_pieces(model, idx, pieces), whole.shape, "float", "the logits")
        assert close(found, whole, rtol=1e-5, atol=1e-5), (
            "with a cache the logits differ from those of one pass: positions go on where the cache ends, new keys and "
            "values come after all cached ones, and each query sees the whole past"
        )


@weight(1)
def test_positions_matter(student, rng):
    """The same token at another position has other logits."""
    model = make(student, rng)
    idx = torch.full((2, LENGTH), int(torch.randint(VOCAB - 1, (), generator=rng)))
    idx[1, 0] += 1
    logits = logits_of(model(idx), idx)
    require_context(logits)
    same = (logits[0, :, None] - logits[0, None, :]).abs().amax(-1) < 1e-6
    assert same.sum() == LENGTH, "a sequence of equal tokens has equal logits at two positions: are positions added?"


@weight(1)
def test_sequences_share_nothing(student, rng):
    """Two sequences read in turn, each with its own cache, have the logits they have alone; rows of a batch too."""
    model, first, second = make(student, rng), tokens(rng, 2), tokens(rng, 3)
    alone = [logits_of(model(idx), idx) for idx in (first, second)]
    for logits in alone:
        require_context(logits)
    in_turn = student.stub(IN_TURN, "in_turn")(model, first, second, 4)
    for found, expected in zip(in_turn, alone, strict=True):
        assert close(found, expected, rtol=1e-5, atol=1e-5), (
            "sequences read in turn disturb each other: what belongs to a sequence lives in its cache, not in the model"
        )
    row = logits_of(model(second[2:]), second[2:])
    assert close(row, alone[1][2:], rtol=1e-5, atol=1e-5), "the logits of a sequence depend on the others in its batch"


@weight(1)
def test_logits(student, rng):
    """Logits score every token of the vocabulary and depend on the token read, for any batch and length."""
    model = make(student, rng)
    idx = torch.arange(VOCAB)[:, None]
    logits = logits_of(model(idx), idx)[:, 0]
    apart = (logits[:, None] - logits[None]).abs().amax(-1) > 1e-6
    assert apart[~torch.eye(VOCAB, dtype=torch.bool)].all(), "two different tokens have the same logits"
    assert logits.std(0).min() > 1e-6, "the logit of some token is the same whatever was read"
    assert logits.min() < 0 or logits.max() > 1, "these look like probabilities: return logits, without a softmax"
    for batch, length in ((2, CONTEXT), (5, 2)):
        idx = tokens(rng, batch, length)
        require_context(logits_of(model(idx), idx))


@weight(1)
def test_refuses(student, rng):
    """A sequence longer than the context, cached or not, and a width that heads do not divide are refused."""
    model = make(student, rng)
    idx = tokens(rng, 2, CONTEXT)
    require_context(logits_of(model(idx), idx))
    assert student.refuses(ValueError, model, tokens(rng, 2, CONTEXT + 1)), "a sequence longer than the context is accepted"
    in_pieces = student.stub(IN_PIECES, "in_pieces")
    full = require_tensor(in_pieces(model, idx, [CONTEXT - 2, 2]), (2, CONTEXT, VOCAB), "float", "the logits")
    require_context(full)
    for pieces in ([CONTEXT - 2, 3], [CONTEXT, 1]):
        longer = tokens(rng, 2, sum(pieces))
        assert student.refuses(ValueError, in_pieces, model, longer, pieces), (
            "the cache and the new tokens together outgrow the context, and are accepted"
        )
    for width, heads in ((12, 5), (10, 4)):
        assert student.refuses(ValueError, student.GPT, VOCAB, CONTEXT, width, 1, heads), (
            "a width that heads do not divide is accepted"
        )


def live_weights(student, rng: torch.Generator, idx: Tensor, depth: int) -> int:
    """How many trainable numbers move the logits of a random model, by their gradients."""
    model = make(student, rng, depth)
    require_context(logits_of(model(idx), idx))
    cotangent = torch.randn(*idx.shape, VOCAB, generator=rng, dtype=torch.float64)
    found = student.parameter_gradient(model, model, idx, output=0, cotangent=cotangent)
    return sum(int((g.abs() > 1e-12).sum()) for g in found.values())


@weight(1)
def test_blocks(student, rng):
    """One block sees the context already, and every further block has an attention and an MLP that learn."""
    idx = tokens(rng, 4)
    one, two, three = (live_weights(student, rng, idx, depth) for depth in (1, 2, 3))
    block = two - one
    assert block > 0, "a second block adds no weights that learn: are blocks chained, and different objects?"
    assert block > 5.2 * WIDTH**2, (  # queries, keys, values and their projection alone are about 4.8 width^2
        "a block has fewer weights that learn than attention and an MLP need: is a part of it left out?"
    )
    assert three - two > block / 2, "a third block adds no weights that learn: are blocks chained, and different objects?"


@weight(1)
def test_residual_path(student, rng):
    """With the matrices inside the blocks at zero the token still reaches the logits: blocks add to what comes in."""
    model = make(student, rng)
    inside = {
        name: torch.zeros_like(value)
        for name, value in student.parameters(model).items()
        if value.dim() == 2 and not any(size % WIDTH for size in value.shape)
    }
    student.set_parameters(model, inside)
    idx = torch.arange(VOCAB)[:, None]
    logits = logits_of(model(idx), idx)[:, 0]
    apart = (logits[:, None] - logits[None]).abs().amax(-1) > 1e-6
    assert apart[~torch.eye(VOCAB, dtype=torch.bool)].all(), (
        "with zero matrices in the blocks all tokens have the same logits: is there a residual connection around both "
        "attention and MLP (Radford 2019, 2.3)?"
    )


@weight(1)
def test_heads(student, rng):
    """The number of heads changes what the model computes."""
    model, other = make(student, rng, heads=HEADS), make(student, rng, heads=1)
    idx, state = tokens(rng, 2), student.state_dict(model)
    logits = logits_of(model(idx), idx)
    require_context(logits)
    shapes = [{name: tuple(x.shape) for name, x in s.items()} for s in (state, student.state_dict(other))]
    if shapes[0] == shapes[1]:  # else the weights themselves are arranged by heads
        student.load_state_dict(other, state)
        assert not close(logits_of(other(idx), idx), logits), "one head and several give the same logits"


@weight(1)
def test_saved_weights(student, rng):
    """A fresh model with the saved weights of another has the same logits, and so does a second call."""
    model, idx = make(student, rng), tokens(rng, 2)
    first, again = logits_of(model(idx), idx), logits_of(model(idx), idx)
    require_context(first)
    fresh = reload(student, model, make(student, rng))
    assert close(again, first, rtol=1e-9, atol=1e-9), "a second call has other logits: is there dropout, or a state?"
    assert close(logits_of(fresh(idx), idx), first, rtol=1e-9, atol=1e-9), (
        "a model with the saved weights has other logits: is every part of it registered with the module?"
    )


@weight(1)
def test_gradients(student, rng):
    """Gradients with respect to all weights are those of the function."""
    model, idx = make(student, rng), tokens(rng, 2, 4)
    cotangent = torch.randn(*idx.shape, VOCAB, generator=rng, dtype=torch.float64)
    found = student.parameter_gradient(model, model, idx, output=0, cotangent=cotangent)
    norm = sum(g.square().sum() for g in found.values()) ** 0.5
    assert norm > 1e-3, "the logits pass no gradient to the weights"
    weights, step = student.parameters(model), 1e-4
    for _ in range(2):
        direction = {name: torch.randn(w.shape, generator=rng, dtype=w.dtype) for name, w in weights.items()}
        ends = []
        for sign in (1, -1):
            student.set_parameters(model, {name: w + sign * step * direction[name] for name, w in weights.items()})
            ends.append((logits_of(model(idx), idx) * cotangent).sum())
        slope = (ends[0] - ends[1]) / (2 * step)
        predicted = sum((found[name] * direction[name]).sum() for name in weights)
        assert abs(predicted - slope) < 0.02 * norm, "the gradient is not the slope of the function: is something detached?"
