"""A density on another scale: nats per image for values in 0..255, and the bits per dimension that follow."""

import math

from autograder.checking import weight
from autograder.checking.compare import close_number

NATS, DIMS = 411.8, 3 * 16 * 16
SCALED = NATS - DIMS * math.log(255 / 2)  # x = 2 v / 255 - 1: a density of v is the density of x times dx/dv = 2/255


@weight(1)
def test_log_density(student):
    """The log-density on the scale of 0..255 is right (to 0.1 nats)."""
    answer = student.value("t1_log_density")
    assert not close_number(answer, NATS + DIMS * math.log(255 / 2), atol=0.1), (
        "the same mass lies in a larger space: does a density rise or fall?"
    )
    assert not close_number(answer, NATS - math.log(255 / 2), atol=0.1), "every dimension is stretched"
    assert close_number(answer, SCALED, atol=0.1), "each dimension contributes the log of dx/dv; an interval of length 2 is ..."


@weight(1)
def test_bits_per_dim(student):
    """The bits per dimension are right (to 0.001)."""
    answer = student.value("t1_bits_per_dim")
    assert not close_number(answer, -SCALED / DIMS, atol=1e-3), "that is in nats per dimension: how many nats make a bit?"
    assert not close_number(answer, -NATS / (DIMS * math.log(2)), atol=1e-3), "bins of width 1: on which scale?"
    assert close_number(answer, -SCALED / (DIMS * math.log(2)), atol=1e-3), (
        "a bin of width 1 has the probability of the density at it: the cost is minus its log, in bits, per dimension"
    )
