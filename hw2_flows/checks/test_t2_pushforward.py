"""Densities of transformed variables at a point, in nats."""

import math

import pytest

from autograder.checking import weight
from autograder.checking.compare import close_number


def normal(z: float) -> float:
    """log N(z; 0, 1)."""
    return -0.5 * z * z - 0.5 * math.log(2 * math.pi)


def slope(function, at: float, step: float = 1e-6) -> float:
    """|f'(at)| by central differences: the key needs no formula of its own."""
    return abs(function(at + step) - function(at - step)) / (2 * step)


def to_normal(x: float) -> float:
    return (math.log(x) - 1.2) / 0.6


def to_uniform(y: float) -> float:
    return math.exp(-math.exp(-y))


CASES = {
    "t2_log_normal": (
        normal(to_normal(5.0)) + math.log(slope(to_normal, 5.0)),
        "which map goes from x to z, and what is its slope at x = 5?",
    ),
    "t2_gumbel": (math.log(slope(to_uniform, 0.8)), "a uniform variable has log-density 0; all that is left is the slope"),
    "t2_square": (
        math.log(2) + normal(math.sqrt(1.7)) + math.log(slope(math.sqrt, 1.7)),
        "two points land on 1.7; the mass that both bring is added",
    ),
}


@weight(1)
@pytest.mark.parametrize("name", CASES)
def test_log_density(student, name):
    """The log-density of the transformed variable at the point is right (to 0.001)."""
    key, hint = CASES[name]
    assert close_number(student.value(name), key, atol=1e-3), hint
