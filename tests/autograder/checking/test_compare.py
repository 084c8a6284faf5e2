"""Comparisons of claims: a value passes only when it is what it should be, in every respect."""

import math

import pytest
import torch

from autograder.checking.compare import close, close_number, is_tensor, require_levels, require_tensor

EXPECTED = torch.tensor([[1.0, -2.0, 3.0]])


class Liar(torch.Tensor):
    """A tensor that claims to equal anything."""

    def __eq__(self, other):
        return torch.ones_like(other, dtype=torch.bool)


def test_equal_values_are_close_in_any_precision():
    assert close(EXPECTED.clone(), EXPECTED)
    assert close(EXPECTED.double(), EXPECTED)
    assert close(EXPECTED * (1 + 5e-5), EXPECTED)
    assert close(torch.tensor([2, 3], dtype=torch.int32), torch.tensor([2, 3]))
    assert close(torch.tensor([math.inf]), torch.tensor([math.inf]))


@pytest.mark.parametrize(
    "claim",
    [EXPECTED + 1e-3, EXPECTED * float("nan"), EXPECTED.flatten(), EXPECTED.expand(2, 3), EXPECTED[:, :1], EXPECTED.long(),
     EXPECTED.bool(), EXPECTED.to(torch.complex64), EXPECTED.tolist(), EXPECTED.numpy(), None, 1.0, torch.tensor(1.0),
     EXPECTED.as_subclass(Liar), torch.nn.Parameter(EXPECTED), torch.tensor([[1.0, -2.0, math.inf]])],
    ids=range(16),
)  # fmt: skip
def test_anything_else_is_not(claim):
    assert not close(claim, EXPECTED)


def test_nan_is_close_to_nothing():
    assert not close(torch.tensor([math.nan]), torch.tensor([math.nan]))
    assert not close(torch.tensor([math.inf]), torch.tensor([-math.inf]))
    assert not close(torch.tensor([1e30]), torch.tensor([math.inf]))


def test_integers_and_bools_are_compared_exactly():
    assert not close(torch.tensor([10_000_001]), torch.tensor([10_000_000]))
    assert not close(torch.tensor([1, 0]), torch.tensor([True, False]))


@pytest.mark.parametrize("claim", [7, 7.0, 7.0004, torch.tensor(7), torch.tensor(7.0004)], ids=repr)
def test_numbers_near(claim):
    assert close_number(claim, 7, atol=1e-3)


@pytest.mark.parametrize("claim", [7.002, math.nan, math.inf, "7", None, [7], torch.tensor([7])], ids=repr)
def test_numbers_not_near(claim):
    assert not close_number(claim, 7, atol=1e-3)


def test_a_bool_is_no_number():
    assert not close_number(True, 1)
    assert not close_number(torch.tensor(True), 1)
    assert close_number(1, 1)


def test_relative_tolerance_scales_with_the_expected_number():
    assert close_number(1005.0, 1000, rtol=0.01)
    assert not close_number(1005.0, 1000, rtol=0.001)


def test_is_tensor_wants_shape_and_kind():
    assert is_tensor(EXPECTED, (1, 3), "float")
    assert not is_tensor(EXPECTED, (3, 1), "float")
    assert not is_tensor(EXPECTED, (1, 3), "int")
    assert not is_tensor(EXPECTED.as_subclass(Liar))


@pytest.mark.parametrize(
    "value, word",
    [([1.0], "must be a tensor"), (torch.zeros(2, 1), "shape"), (torch.zeros(2, dtype=torch.int64), "float"),
     (torch.tensor([0.0, math.nan]), "finite"), (torch.tensor([0.0, -math.inf]), "finite")],
)  # fmt: skip
def test_require_tensor_says_what_is_wrong(value, word):
    with pytest.raises(AssertionError, match=f"the logits .*{word}"):
        require_tensor(value, (2,), "float", "the logits")


@pytest.mark.parametrize(
    "value, word",
    [(torch.tensor([0, 4]), "0..num_levels-1"), (torch.tensor([-1, 0]), "0..num_levels-1"), (torch.tensor([0.0, 1.0]), "int"),
     (torch.tensor([0, 1], dtype=torch.int32), "int64"), (torch.tensor([0]), "shape")],
)  # fmt: skip
def test_require_levels_says_what_is_wrong(value, word):
    with pytest.raises(AssertionError, match=word):
        require_levels(value, (2,), 4, "the sample")


def test_good_values_come_through():
    levels = torch.tensor([0, 3])
    assert require_levels(levels, (2,), 4, "the sample") is levels
    assert require_tensor(EXPECTED, (1, 3), "float", "the logits") is EXPECTED
