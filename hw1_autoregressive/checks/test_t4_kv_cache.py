"""What a cache saves: tokens that pass through the network while a continuation is drawn."""

from autograder.checking import weight
from autograder.checking.compare import close_number

PROMPT, NEW = 33, 224
QUADRATIC = "C"


@weight(1)
def test_cached(student):
    """With a cache every token passes once (the last one drawn need not)."""
    answer = student.value("t4_cached")
    assert close_number(answer, PROMPT + NEW - 1), "the prompt once, then one token a step: is the last one ever fed?"


@weight(1)
def test_uncached(student):
    """Without a cache every step passes the whole sequence so far."""
    answer = student.value("t4_uncached")
    assert close_number(answer, sum(range(PROMPT, PROMPT + NEW))), "add up the lengths that the steps feed, first to last"


@weight(1)
def test_quadratic(student):
    """What still grows with the square of the length."""
    answer = student.value("t4_quadratic")
    assert isinstance(answer, str), "answer with a letter in quotes"
    assert answer.strip().upper() == QUADRATIC, "a cache spares the old tokens' keys and values; what must a step do still?"
