"""The trained GPT, measured on hidden avatars: bits per token given the class, use of the class, and its cache."""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import require_tensor
from autograder.checking.likelihood import Once, entry_costs, steps

PALETTE, CLASSES, SIZE = 32, 6, 256
FULL, POOR = 0.25, 0.60  # bits/token: as the notebook states them
HIDDEN = slice(1, None, 6)  # 50 avatars, on average as hard as all 300 for a model that counts contexts
WRONG = 20
GAIN = 1.0  # bits an image that the right class saves at least against a wrong one

IN_PIECES = """
def in_pieces(model, idx, pieces):
    logits, cache, start = [], None, 0
    for size in pieces:
        out, cache = model(idx[:, start : start + size], cache)
        logits.append(out)
        start += size
    return torch.cat(logits, dim=1)
"""


@pytest.fixture(scope="module")
def once() -> Once:
    """The measurement, made once for all checks."""
    return Once()


def hidden(heldout) -> tuple[Tensor, Tensor]:
    """Tokens (N, 256) and hair colours (N,) of hidden avatars."""
    avatars = heldout("avatars")
    return avatars["tokens"][HIDDEN].long(), avatars["hair_color"][HIDDEN].long()


def inputs(tokens: Tensor, hair: Tensor) -> Tensor:
    """What the model reads to predict the tokens (B, 256): the class token, then all tokens but the last."""
    return torch.cat([PALETTE + hair[:, None], tokens[:, :-1]], dim=1)


def logits_of(found: object, idx: Tensor) -> Tensor:
    """The logits of what a call returned."""
    assert isinstance(found, (tuple, list)), "the model must return the pair (logits, cache)"
    return require_tensor(found[0], (*idx.shape, PALETTE + CLASSES), "float", "the logits")


def measure(student, heldout, rng: torch.Generator) -> tuple[float, Tensor]:
    """Bits per token of hidden avatars given their class, and what a wrong class adds for some, in bits an image."""
    model = student.checkpoint("e2_avatar_gpt")
    tokens, hair = hidden(heldout)
    wrong = (hair[:WRONG] + torch.randint(1, CLASSES, (WRONG,), generator=rng)) % CLASSES
    x, classes = torch.cat([tokens, tokens[:WRONG]]), torch.cat([hair, wrong])

    def call(rows: Tensor, index: Tensor) -> Tensor:
        idx = inputs(rows, classes[index])
        return logits_of(model(idx), idx)

    costs = entry_costs(call, x, PALETTE, (SIZE, PALETTE + CLASSES), rng, copies=21).sum(1) / math.log(2)
    return float(costs[: len(hair)].mean()) / SIZE, costs[len(hair) :] - costs[:WRONG]


def require_trained(bits: float) -> None:
    """Fail for a model that is no better than the value from which nothing is given."""
    assert bits < POOR, f"hidden avatars cost about {bits:.2f} bits/token; the notebook states from where nothing is given"


@weight(1)
def test_causal_at_full_size(student, heldout, rng, once):
    """At full size the logits of a token depend on earlier tokens only, and do better than the stated poor value."""
    bits, _ = once(lambda: measure(student, heldout, rng))
    require_trained(bits)


@weight(8)
@pytest.mark.parametrize("step", range(1, 9), ids=lambda step: f"step {step} of 8")
def test_bits_per_token(student, heldout, rng, once, step):
    """Hidden avatars cost few bits per token: eight steps from the stated poor value to the full one."""
    bits, _ = once(lambda: measure(student, heldout, rng))
    assert bits <= steps(FULL, POOR, 8)[8 - step], (
        f"hidden avatars cost about {bits:.2f} bits/token; the notebook states where full points begin"
    )


@weight(2)
def test_class_is_used(student, heldout, rng, once):
    """The right class makes an avatar likelier than a wrong one."""
    bits, gain = once(lambda: measure(student, heldout, rng))
    require_trained(bits)
    assert gain.mean() > GAIN, "avatars cost hardly more with a wrong class token: does training put the class first?"


@weight(1)
def test_cache_at_full_size(student, heldout, rng, once):
    """At full size logits are the same in one pass and in pieces with a cache."""
    bits, _ = once(lambda: measure(student, heldout, rng))
    require_trained(bits)
    model, idx = student.checkpoint("e2_avatar_gpt"), inputs(*hidden(heldout))[:4]
    whole = logits_of(model(idx), idx)
    cut = int(torch.randint(2, SIZE - 60, (), generator=rng))
    pieces = [1, cut, 1, 1, 50, SIZE - cut - 53]
    found = student.stub(IN_PIECES, "in_pieces")(model, idx, pieces)
    found = require_tensor(found, whole.shape, "float", "the logits")
    assert (found - whole).abs().max() < 1e-3 * (1 + whole.abs().max()), (
        "with a cache the logits of the trained model differ from those of one pass"
    )
