"""Nats per image to bits per dimension."""

import math

from autograder.checking import weight
from autograder.checking.compare import close_number

NATS, DIMS = 6230.4, 3 * 32 * 32


@weight(1)
def test_value(student):
    """The bits per dimension are right (to 0.005)."""
    answer = student.value("t2_bits_per_dim_value")
    assert not close_number(answer, NATS / DIMS, atol=5e-3), "that is in nats: how many nats make a bit?"
    assert not close_number(answer, 3 * NATS / DIMS / math.log(2), atol=5e-3), "every colour is a dimension of its own"
    assert close_number(answer, NATS / DIMS / math.log(2), atol=5e-3), "share among all dimensions, then change the base"
