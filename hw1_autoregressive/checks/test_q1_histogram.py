"""Histogram: the maximum likelihood estimate is the share of each level."""

import pytest
import torch

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor

EXACT = {"rtol": 1e-5, "atol": 1e-7}


def shares(x: torch.Tensor, num_levels: int) -> torch.Tensor:
    """Counts over N, by comparison with every level."""
    return (x[:, None] == torch.arange(num_levels)).double().mean(0)


def draw(levels: list[int], n: int, rng: torch.Generator) -> torch.Tensor:
    """n values of which each of `levels` occurs at least once, with unequal shares."""
    skewed = torch.rand(len(levels), generator=rng) ** 2 + 0.05
    picked = torch.multinomial(skewed, n - len(levels), replacement=True, generator=rng)
    x = torch.tensor(levels)[torch.cat([picked, torch.arange(len(levels))])]
    return x[torch.randperm(n, generator=rng)]


@weight(2)
@pytest.mark.parametrize("num_levels, n", [(7, 1009), (13, 61), (5, 5), (2, 1201)])
def test_shares(student, rng, num_levels, n):
    """The probability of a level is its share of the data."""
    x = draw(list(range(num_levels)), n, rng) if n > num_levels else torch.tensor([4, 0, 4, 1, 4])
    found = require_tensor(student.fit_histogram(x, num_levels), (num_levels,), "float", "the histogram")
    assert close(found, shares(x, num_levels), **EXACT), "a probability is not (number of x equal to k) / N"


@weight(2)
@pytest.mark.parametrize("missing", ["top", "bottom", "middle", "all but one"])
def test_unseen_levels(student, rng, missing):
    """Levels that never occur keep their place, with probability 0."""
    num_levels = 11
    present = {"top": range(8), "bottom": range(3, 11), "middle": (0, 1, 6, 10), "all but one": (4,)}[missing]
    x = draw(list(present), 97, rng)
    found = student.fit_histogram(x, num_levels)
    found = require_tensor(found, (num_levels,), "float", "the histogram of data that lack some levels")
    expected = shares(x, num_levels)
    assert (found[expected == 0] == 0).all(), "a level that never occurs must have probability 0"
    assert close(found, expected, **EXACT), "a probability is wrong when some levels never occur"
