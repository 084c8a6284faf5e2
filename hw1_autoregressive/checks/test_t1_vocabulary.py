"""Parameters that a larger vocabulary adds to an untied model: rows of the embedding, rows and biases of the head."""

from autograder.checking import weight
from autograder.checking.compare import close_number

OLD, NEW, WIDTH = 32_000, 128_256, 640


@weight(1)
def test_extra_parameters(student):
    """The number of extra parameters is right, to the last one."""
    answer = student.value("t1_extra_parameters")
    assert not close_number(answer, (NEW - OLD) * 2 * WIDTH), "nearly: does the output layer have a bias?"
    assert not close_number(answer, (NEW - OLD) * WIDTH), "that is one matrix: input and output have one each, untied"
    assert close_number(answer, (NEW - OLD) * (2 * WIDTH + 1)), "count what a token has of its own, at input and output"
