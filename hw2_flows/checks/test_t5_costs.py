"""What a density and a sample cost in each family of flows."""

import pytest

from autograder.checking import weight

ONE, EACH_DIMENSION, SOLVER = "A", "B", "C"
KEY = {"t5_coupling": ONE + ONE, "t5_maf": ONE + EACH_DIMENSION, "t5_iaf": EACH_DIMENSION + ONE, "t5_cnf": SOLVER + SOLVER}
HINTS = (
    "density: what must be known before the network can be asked about a given point: x, z, or a path?",
    "sample: what must be known before the network can be asked, when z is drawn and x is wanted?",
)


@weight(1)
@pytest.mark.parametrize("name", KEY)
def test_cost(student, name):
    """The costs of a density and of a sample are right."""
    answer = student.value(name)
    assert isinstance(answer, str), "answer with two letters in quotes, density first"
    letters = answer.strip().upper()
    assert len(letters) == 2, "answer with two letters, density first"
    for letter, right, hint in zip(letters, KEY[name], HINTS):
        assert letter == right, hint
