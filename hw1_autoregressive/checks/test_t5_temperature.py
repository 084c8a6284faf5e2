"""Temperature at every step is not temperature of the sequence: compare both by enumeration."""

import torch

from autograder.checking import weight
from autograder.checking.compare import close_number

TEMPERATURE = 0.5
FIRST = torch.tensor([0.55, 0.45], dtype=torch.float64)
SECOND = torch.tensor([[0.4, 0.35, 0.25], [0.9, 0.05, 0.05]], dtype=torch.float64)
SEQUENCE = (1, 0)


def sharpen(p: torch.Tensor, axis: int) -> torch.Tensor:
    """p^(1/T), normalised along an axis."""
    return (p.log() / TEMPERATURE).softmax(axis)


@weight(1)
def test_per_step(student):
    """The probability when every step is sharpened by itself (to 0.001)."""
    a, b = SEQUENCE
    key = sharpen(FIRST, 0)[a] * sharpen(SECOND, 1)[a, b]
    answer = student.value("t5_per_step")
    assert close_number(answer, key.item(), atol=1e-3), "sharpen and normalise each conditional, then multiply"


@weight(1)
def test_joint(student):
    """The probability when the distribution of whole sequences is sharpened (to 0.001)."""
    joint = (FIRST[:, None] * SECOND).flatten()
    key = sharpen(joint, 0).view_as(SECOND)[SEQUENCE]
    answer = student.value("t5_joint")
    assert close_number(answer, key.item(), atol=1e-3), "multiply first, then sharpen, and normalise over all sequences"
