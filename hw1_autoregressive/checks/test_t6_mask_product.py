"""The product of three MADE masks counts the paths from inputs to outputs."""

import torch

from autograder.checking import weight
from autograder.checking.compare import is_tensor, kind

RANKS = torch.tensor([2, 0, 3, 1])
HIDDEN = torch.tensor([0, 2, 1, 0, 1]), torch.tensor([1, 0, 2, 1])


def key() -> torch.Tensor:
    """Paths from input j to output i, (4, 4): a unit sees lower or equal degrees, an output strictly lower ones."""
    masks = [HIDDEN[0][:, None] >= RANKS, HIDDEN[1][:, None] >= HIDDEN[0], RANKS[:, None] > HIDDEN[1]]
    first, second, last = (mask.long() for mask in masks)
    return last @ second @ first


def matrix(answer: object) -> torch.Tensor:
    """The answer as a (4, 4) tensor, whether it is nested lists, tuples or an array."""
    try:
        found = answer if is_tensor(answer) else torch.tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError):
        raise AssertionError("give the matrix as a list of rows of numbers") from None
    assert found.shape == key().shape, "the matrix has one row per output and one column per input"
    assert kind(found) in ("int", "float"), "the entries are counts: give numbers"
    return found.double()


@weight(1)
def test_support(student):
    """The product is positive exactly where an output may depend on an input."""
    found = matrix(student.value("t6_product"))
    assert not torch.equal(found.T > 0, key() > 0), "rows and columns are swapped: a row belongs to an output"
    assert torch.equal(found > 0, key() > 0), "an output depends on the inputs of lower rank: which entries are 0?"


@weight(1)
def test_paths(student):
    """Every entry counts the paths from that input to that output."""
    found = matrix(student.value("t6_product"))
    assert torch.equal(found, key().double()), "entry (i, j) is the number of ways through both hidden layers"
