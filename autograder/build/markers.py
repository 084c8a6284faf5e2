"""Remnants of markers in a text, misspelt ones too: nbgrader strips only what is spelled right, and says nothing."""

import re
from difflib import SequenceMatcher

COMMENT = re.compile(r"(#+)\s*([A-Za-z]+)(?:[\s_-]+([A-Za-z]+))?")
PLAIN = re.compile(r"\b(?:BEGIN|END)[\s_-]+(?:SOLUTION|HIDDEN|MARK|TEST)|\bMARK(?:ING)?[\s_-]+SCHEME\b")
SUBJECTS = ("SOLUTION", "SOLUTIONS", "HIDDEN", "MARK", "MARKING", "TESTS", "TEST")
CLOSE = 0.8  # similarity from which a word counts as a misspelling: SOLUTON, BEGN, SOULTION


def marker_remnant(line: str) -> bool:
    """Whether the line holds a marker of a solution, hidden test or mark scheme, or what looks like one misspelt."""
    return bool(PLAIN.search(line)) or any(_is_marker(*found) for found in COMMENT.findall(line))


def _is_marker(hashes: str, first: str, second: str) -> bool:
    begins, ends = _close(first, "BEGIN"), first.upper() in ("END", "EDN", "ENDD", "ENND")
    if (begins or ends) and any(_close(second, subject) for subject in SUBJECTS):
        return True
    if len(hashes) < 3 or first != first.upper():
        return False
    return begins or ends or _close(first, "SOLUTION") or (_close(first, "MARK") and _close(second, "SCHEME"))


def _close(word: str, wanted: str) -> bool:
    return SequenceMatcher(None, word.upper(), wanted).ratio() >= CLOSE
