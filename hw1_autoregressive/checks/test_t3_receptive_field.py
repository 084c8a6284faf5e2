"""Width of the nominal receptive field of a stack of masked convolutions."""

from autograder.checking import weight
from autograder.checking.compare import close_number

FIRST_KERNEL, LATER_KERNEL, LATER_LAYERS = 9, 5, 8


@weight(1)
def test_width(student):
    """The receptive field has the right width."""
    reach = FIRST_KERNEL // 2 + LATER_LAYERS * (LATER_KERNEL // 2)
    answer = student.value("t3_width")
    assert close_number(answer, 2 * reach + 1), "add what each layer reaches to either side, and count the pixel itself"
