"""A likelihood below the entropy of the data: what it is a likelihood of, and what it is in the data's units."""

import math

from autograder.checking import weight
from autograder.checking.compare import close_number
from common.data import eight_gaussians

CAUSE, NLL = "C", 1.434


def deviations() -> list[float]:
    """Standard deviation of each coordinate of the mixture: spread of the means, and each component's own."""
    density = eight_gaussians()
    variance = density.means.var(0, correction=0) + density.scale**2
    return variance.sqrt().tolist()


@weight(1)
def test_cause(student):
    """The explanation is right."""
    answer = student.value("t4_cause")
    assert isinstance(answer, str), "answer with a letter in quotes"
    assert answer.strip().upper() == CAUSE, "no model beats the entropy of its own variables on new data; look at the first line"


@weight(1)
def test_nll(student):
    """The cost in the original variables is right (to 0.005)."""
    answer, logs = student.value("t4_nll"), [math.log(d) for d in deviations()]
    assert not close_number(answer, NLL - sum(logs), atol=5e-3), "dividing by a number above 1 concentrates a density"
    assert not close_number(answer, NLL + logs[0], atol=5e-3), "there are two coordinates"
    assert close_number(answer, NLL + sum(logs), atol=5e-3), "add the log of what each coordinate was divided by"
