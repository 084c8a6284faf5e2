"""Causal attention: who is seen, how much, and what a past changes.

The oracles need no reference. With values v = identity the result is the matrix of weights itself. A key moves exactly
the queries that may see it. Reading a sequence in pieces, with a past, gives what reading it at once gives.
"""

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.probes import influence

TWICE = """
def twice(attend, q, k, v, past_length):
    attend(q.clone(), k, v, past_length)
    return attend(q.clone(), k, v, past_length)
"""


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def visible(length: int, past: int = 0) -> Tensor:
    """(T, past + T) bool: query i stands at past + i and sees the keys up to there."""
    return torch.ones(length, past + length, dtype=torch.bool).tril(past)


def weights_of(student, q: Tensor, k: Tensor) -> Tensor:
    """The attention weights (B, h, T, T) of a sequence without a past, read off with v = identity; needs d >= T."""
    length, width = k.shape[-2:]
    identity = torch.eye(length, width, dtype=k.dtype).expand(*k.shape).contiguous()
    out = require_tensor(student.causal_attention(q, k, identity), q.shape, "float", "the result")
    return out[..., :length]


@weight(2)
@pytest.mark.parametrize("past", [0, 3], ids=["no past", "a past of 3"])
def test_visible_keys(student, rng, past):
    """A query sees every key up to its own position, and none after it."""
    heads, length, width = 2, 4, 5
    q = normal(rng, 1, heads, length, width)
    total, other = past + length, normal(rng, 1, heads, past + length, width)

    def moved_by(place: int) -> Tensor:
        """(T, past + T): whether query i is moved by the keys (place 0) or values (place 1) at position j."""

        def call(batch: Tensor) -> Tensor:
            batch = batch.reshape(-1, heads, total, width)
            pair = [batch, other.expand_as(batch).contiguous()]
            pair = pair if place == 0 else pair[::-1]
            return student.causal_attention(q.repeat(len(batch), 1, 1, 1), *pair, past_length=past)

        moved = influence(call, (heads, total, width), rng)  # (h, T, d, h, total, d)
        return moved.permute(1, 4, 0, 2, 3, 5).flatten(2).any(-1)

    by_key, by_value, allowed = moved_by(0), moved_by(1), visible(length, past)
    assert not ((by_key | by_value) & ~allowed).any(), "a query is moved by a key or value that comes after it"
    assert not (allowed & ~by_value).any(), "a query misses values that it may see: query i stands at past_length + i"
    several = allowed & (allowed.sum(1, keepdim=True) > 1)
    assert not (several & ~by_key).any(), "keys that a query may see have no influence on its weights"


@weight(1)
def test_weights_are_a_distribution(student, rng):
    """Each query's weights are positive, sum to 1, and are larger for keys that match it better."""
    q, k = normal(rng, 2, 3, 6, 11), normal(rng, 2, 3, 6, 11)
    found, allowed = weights_of(student, q, k), visible(6)
    assert close(found.sum(-1), torch.ones(2, 3, 6).double(), rtol=0, atol=1e-5), (
        "the weights of a query don't sum to 1: softmax over the keys, after the mask"
    )
    assert (found[..., allowed] > 0).all(), "a visible key has no weight, or a negative one"
    scores = q @ k.mT
    better = (scores.unsqueeze(-1) > scores.unsqueeze(-2)) & allowed.unsqueeze(-1) & allowed.unsqueeze(-2)
    assert (found.unsqueeze(-1) > found.unsqueeze(-2))[better].all(), (
        "a key with the larger product q.k has the smaller weight: weights come from a softmax of q k^T"
    )


@weight(2)
@pytest.mark.parametrize("width", [7, 12])
def test_scale(student, rng, width):
    """Weights are proportional to exp(q.k / sqrt(d)), with d the width of one head."""
    q, k = normal(rng, 2, 3, 6, width), normal(rng, 2, 3, 6, width)
    found, allowed = weights_of(student, q, k), visible(6)
    ratio = found.log() - found[..., :1].log()
    scores = q @ k.mT
    expected = (scores - scores[..., :1]) / width**0.5
    assert close(ratio[..., allowed], expected[..., allowed], rtol=1e-5, atol=1e-5), (
        "the ratio of two weights is not exp of the difference of the scaled scores: check the factor 1/sqrt(d), and "
        "what d is (Vaswani 2017, equation 1)"
    )


@weight(2)
def test_past(student, rng):
    """Reading a sequence in pieces, each with its past, gives what reading it at once gives."""
    heads, length, width = 3, 7, 5
    q, k, v = (normal(rng, 2, heads, length, width) for _ in range(3))
    whole = require_tensor(student.causal_attention(q, k, v), q.shape, "float", "the result")
    other = require_tensor(student.causal_attention(normal(rng, *q.shape), k, v), q.shape, "float", "the result")
    assert not close(whole[:, :, 1:], other[:, :, 1:]), "the queries have no influence on the result"
    twice = student.stub(TWICE, "twice")
    for start, end in [(0, 1), (1, 2), (6, 7), (1, 4), (4, 6), (2, 7), (0, 5)]:
        keys, values = k[:, :, :end].contiguous(), v[:, :, :end].contiguous()
        piece = twice(student.causal_attention, q[:, :, start:end].contiguous(), keys, values, start)
        assert close(piece, whole[:, :, start:end], rtol=1e-5, atol=1e-6), (
            "a piece with a past differs from the same rows of the whole: query i stands at past_length + i (also when there "
            "is one query), and keys and values must stay as they were"
        )


@weight(1)
def test_large_scores(student, rng):
    """With scores in the thousands, in float32, a query still takes the best key it may see, and gradients are finite."""
    scores = torch.tensor([-2000.0, -2600.0, -2300.0, 1500.0, 900.0, 2000.0])
    best = [0, 0, 0, 3, 3, 5]
    width = 4
    q, k = torch.zeros(2, 2, 6, width), torch.zeros(2, 2, 6, width)
    q[..., 1], k[..., 1] = width**0.5, scores
    v = normal(rng, 2, 2, 6, width).float()
    found = require_tensor(student.causal_attention(q, k, v), v.shape, "float", "the result")
    assert found.dtype == torch.float32, "float32 inputs must give a float32 result"
    assert close(found, v[:, :, best]), (
        "with large scores a query does not return the value of the best key it may see: what does the mask put in place "
        "of hidden scores, and is the softmax stable?"
    )
    gradients = student.gradient(student.causal_attention, q, k, v, wrt=(0, 1, 2), cotangent=v)
    assert all(torch.isfinite(g).all() for g in gradients), "gradients are NaN or infinite for large scores"


@weight(1)
def test_gradients(student, rng):
    """Gradients with respect to q, k and v are those of the function."""
    inputs = [normal(rng, 2, 2, 4, 3) for _ in range(3)]
    cotangent = normal(rng, 2, 2, 4, 3)
    found = student.gradient(student.causal_attention, *inputs, wrt=(0, 1, 2), cotangent=cotangent)
    step = 1e-3
    for place, name in enumerate("qkv"):
        direction = normal(rng, 2, 2, 4, 3)
        ends = []
        for sign in (1, -1):
            moved = [x + sign * step * direction * (i == place) for i, x in enumerate(inputs)]
            out = require_tensor(student.causal_attention(*moved), cotangent.shape, "float", "the result")
            ends.append((out * cotangent).sum())
        slope = (ends[0] - ends[1]) / (2 * step)
        assert found[place].abs().max() > 1e-3, f"{name} gets no gradient"
        assert close((found[place] * direction).sum(), slope, rtol=1e-3, atol=1e-3), (
            f"the gradient with respect to {name} is not the slope of the function: is something detached?"
        )


@weight(1)
def test_heads_are_separate(student, rng):
    """Every head of every sequence attends on its own, also when all sizes are equal."""
    size = 4
    shape = (3, size, size, size, size)  # q, k and v of shape (B, h, T, d), stacked

    def call(batch: Tensor) -> Tensor:
        out = [student.causal_attention(*case.unbind(0)) for case in batch]
        return torch.stack([require_tensor(o, shape[1:], "float", "the result") for o in out])

    base = normal(rng, *shape)
    moved = base.clone()
    b, head = (int(i) for i in torch.randint(size, (2,), generator=rng))
    moved[:, b, head] = normal(rng, 3, size, size)
    before, after = call(torch.stack([base, moved]))
    changed = ((after - before).abs() > 1e-9).flatten(2)  # (B, h, T d)
    assert changed[b, head].all(), "new queries, keys and values of a head leave its result as it was"
    changed[b, head] = False
    assert not changed.any(), "a head is moved by another head, or by another sequence of the batch"
