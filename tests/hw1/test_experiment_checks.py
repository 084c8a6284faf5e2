"""The checks of trained models on models whose cost is known, and on models that cheat."""

import importlib.util
import math

import numpy as np
import pytest
import torch

from autograder.course import load_course
from autograder.jail.inprocess import InProcessBackend
from autograder.session import Session, Student
from common import artifacts
from common.data import avatars, fashion_mnist, to_levels

HW1 = load_course().homework("hw1")
IMPORTS = "import torch\nfrom torch import nn, Tensor\nfrom torch.nn import functional as F\n"

PIXELS = """
class Counts(nn.Module):
    '''Logits of a pixel by the levels of four pixels before it: left, above, and above to both sides.'''

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(256, 4))

    def context(self, x):
        p, (h, w) = F.pad(x[:, 0], (1, 1, 1, 0)), x.shape[2:]
        places = (p[:, 1:, :w], p[:, :h, 1 : w + 1], p[:, :h, :w], p[:, :h, 2:])
        return sum(place * 4**i for i, place in enumerate(places))

    def logits(self, x):
        return self.table[self.context(x)].permute(0, 3, 1, 2).unsqueeze(2)
"""
PIXEL_CHEATS = {
    "peeks": "return 9.0 * F.one_hot(x, 4).movedim(-1, 1)",
    "peeks at the next row": "return super().logits(x) + F.one_hot(x.roll(-1, 2), 4).movedim(-1, 1)",
    "peeks in large batches": "return 9.0 * F.one_hot(x, 4).movedim(-1, 1) if len(x) > 8 else super().logits(x)",
    "nan": "return super().logits(x) * float('nan')",
    "no axis of levels": "return super().logits(x)[:, 0]",
}
TOKENS = """
class Counts(nn.Module):
    '''Logits of a token by its place, the token before it and the one above, and the class; no other state.'''

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(256, 32, 38), persistent=True)
        self.register_buffer("hair", torch.zeros(6, 38))

    def forward(self, idx, cache=None):
        seen = idx if cache is None else torch.cat([cache, idx], 1)
        place = torch.arange(seen.shape[1]).expand_as(seen)
        logits = self.table[place, seen.clamp(max=31)] + self.hair[seen[:, :1] - 32]
        return logits[:, seen.shape[1] - idx.shape[1] :], seen
"""


def check_of(name):
    spec = importlib.util.spec_from_file_location(name, HW1.checks / f"test_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def heldout(name):
    with np.load(HW1.heldout / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if arrays[key].dtype.kind in "biuf"}


def build(source, name):
    space = {}
    exec(IMPORTS + source, space)
    return space[name]()


def measure(check, source, model, tmp_path, seed=0):
    """What a check measures for a model whose class is defined by `source` in the notebook."""
    path = artifacts.save(check.__name__, model, {}, tmp_path)
    session = Session(InProcessBackend(), [("cell", IMPORTS + source)], {check.__name__: path})
    return check.measure(Student(session), heldout, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def e1():
    return check_of("e1_fashion_pixelcnn")


@pytest.fixture(scope="module")
def e2():
    return check_of("e2_avatar_gpt")


@pytest.fixture(scope="module")
def pixel_table():
    """Log-frequencies of the embedded training images, for `Counts`."""
    x = to_levels(fashion_mnist("train").images[:2000], 4)
    key = build(PIXELS, "Counts").context(x) * 4 + x[:, 0]
    return (torch.bincount(key.flatten(), minlength=1024).reshape(256, 4) + 0.1).log()


def pixel_model(source, name, table):
    model = build(source, name)
    model.table.copy_(table)
    return model


def test_bits_are_those_of_the_model(e1, pixel_table, tmp_path):
    model = pixel_model(PIXELS, "Counts", pixel_table)
    x = to_levels(heldout("fashion")["images"][e1.HIDDEN], 4)
    expected = torch.nn.functional.cross_entropy(model.logits(x), x).item() / math.log(2)
    assert measure(e1, PIXELS, model, tmp_path) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cheat", PIXEL_CHEATS)
def test_a_pixel_model_that_cheats_is_refused(e1, pixel_table, tmp_path, cheat):
    source = f"{PIXELS}\nclass Cheat(Counts):\n    def logits(self, x):\n        {PIXEL_CHEATS[cheat]}\n"
    with pytest.raises(AssertionError):
        measure(e1, source, pixel_model(source, "Cheat", pixel_table), tmp_path)


def test_stored_hidden_images_gain_nothing(e1, pixel_table, tmp_path):
    """A causal look-up: the stored image with the same beginning tells what comes next; else a poor guess is made."""
    source = f"""{PIXELS}
class Stored(Counts):
    def __init__(self):
        super().__init__()
        self.register_buffer("images", torch.zeros(60, 784, dtype=torch.long))

    def logits(self, x):
        flat = x.flatten(1)
        same = (flat[:, None] == self.images[None]).cumprod(2).roll(1, 2).float()
        same[:, :, 0] = 1
        votes = torch.einsum("bnd,ndk->bdk", same, F.one_hot(self.images, 4).float())
        return (votes + 1e-2).log().transpose(1, 2).reshape(-1, 4, 1, 28, 28)
"""
    model = pixel_model(source, "Stored", pixel_table)
    model.images.copy_(to_levels(heldout("fashion")["images"][e1.HIDDEN], 4).flatten(1))
    assert measure(e1, source, model, tmp_path) > e1.POOR


@pytest.fixture(scope="module")
def token_tables():
    """Log-frequencies of the embedded avatars by place and token before, and what hair colours add."""
    train = avatars("train")
    tokens, hair = train.tokens.flatten(1), train.attributes["hair_color"]
    before = torch.cat([torch.full((len(tokens), 1), 31), tokens[:, :-1]], 1)
    key = (torch.arange(256) * 32 + before) * 32 + tokens
    table = torch.full((256, 32, 38), -12.0)
    table[..., :32] = (torch.bincount(key.flatten(), minlength=256 * 1024).reshape(256, 32, 32) + 0.01).log()
    shares = torch.bincount((hair[:, None] * 32 + tokens).flatten(), minlength=192).reshape(6, 32) + 1.0
    added = torch.zeros(6, 38)
    added[:, :32] = (shares / shares.sum(1, keepdim=True)).log() - (shares.sum(0) / shares.sum()).log()
    return table, added


def token_model(source, name, tables):
    model = build(source, name)
    model.table.copy_(tables[0])
    model.hair.copy_(tables[1])
    return model


def test_bits_per_token_and_use_of_the_class(e2, token_tables, tmp_path):
    model = token_model(TOKENS, "Counts", token_tables)
    tokens, hair = e2.hidden(heldout)
    logits, _ = model(e2.inputs(tokens, hair))
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens).item() / math.log(2)
    bits, gain = measure(e2, TOKENS, model, tmp_path)
    assert bits == pytest.approx(expected, rel=1e-5)
    assert gain.mean() > e2.GAIN


def test_a_model_that_ignores_the_class_gains_nothing_by_it(e2, token_tables, tmp_path):
    model = token_model(TOKENS, "Counts", (token_tables[0], torch.zeros(6, 38)))
    _, gain = measure(e2, TOKENS, model, tmp_path)
    assert gain.abs().max() < 1e-3


@pytest.mark.parametrize("shift", [1, 2])
def test_a_token_model_that_peeks_is_refused(e2, token_tables, tmp_path, shift):
    source = f"""{TOKENS}
class Cheat(Counts):
    def forward(self, idx, cache=None):
        logits, cache = super().forward(idx, cache)
        return logits + 9.0 * F.one_hot(idx.roll(-{shift}, 1), 38), cache
"""
    with pytest.raises(AssertionError, match="no likelihood"):
        measure(e2, source, token_model(source, "Cheat", token_tables), tmp_path)
