"""When does a public text contain a secret one? Rules that find copies and stay silent on ordinary lines and phrases.

Code is compared line by line without spacing, kind of quotes and comments. A match is a run of equal lines; it counts
by its distinct words (names and numbers; keywords, `self`, `torch` and the like say nothing). `return x` has one word.
Prose is compared by runs of words of three letters and more, so that formulas, which all texts share, don't count.
"""

import keyword
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

RUN_WORDS = 6  # distinct words in equal consecutive lines that make a copy
WHOLE_WORDS = 4  # the same, when the run is a whole solution region
PROSE_RUN = 8  # consecutive words that make a copy
PROSE_WHOLE = 4  # a secret shorter than that counts as a whole, when it has so many words

COMMON_NAMES = {"self", "super", "__init__", "torch", "nn", "F", "np", "math", *keyword.kwlist}
NAME_OR_NUMBER = re.compile(r"[A-Za-z_]\w*|\d[\d_.]*")
PROSE_WORD = re.compile(r"[^\W\d_]{3,}")
# A string, or a comment up to the end of the line.
STRING_OR_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|#.*""")


def code_lines(text: str) -> list[str]:
    """The lines of a text in a form that survives re-indenting, commenting out, quoting and other spacing."""
    return [line for line in map(_normal, text.split("\n")) if line]


def prose_words(text: str) -> list[str]:
    """The words of three letters and more, in lower case."""
    return PROSE_WORD.findall(text.lower())


class Public:
    """A text that students see, indexed once for all secrets that are looked for in it."""

    def __init__(self, text: str):
        self.lines = code_lines(text)
        self.places: dict[str, list[int]] = {}
        for number, line in enumerate(self.lines):
            self.places.setdefault(line, []).append(number)
        self._words = prose_words(text)
        self._prose = f" {' '.join(self._words)} "
        self._runs: dict[int, set[tuple[str, ...]]] = {}

    def says(self, words: tuple[str, ...]) -> bool:
        """Whether these words stand in the text, one after the other."""
        size = min(len(words), PROSE_RUN)
        if size not in self._runs:
            self._runs[size] = set(_runs(self._words, size))
        return words[:size] in self._runs[size] and f" {' '.join(words)} " in self._prose


@dataclass(frozen=True)
class CodeSecret:
    """Lines of code that only the staff may see. whole: a copy of all of them counts even when it is short."""

    owner: str
    lines: tuple[str, ...]
    whole: bool = False

    def copied(self, public: Public) -> str:
        """The first line of the most telling run that stands in the public text too; "" when none tells enough."""
        best, best_words = "", 0
        for start, line in enumerate(self.lines):
            for place in public.places.get(line, ()):
                run = _common_run(self.lines[start:], public.lines[place:])
                words = _distinct_words(run)
                enough = WHOLE_WORDS if self.whole and len(run) == len(self.lines) else RUN_WORDS
                if words >= max(enough, best_words + 1):
                    best, best_words = run[0], words
        return best


@dataclass(frozen=True)
class ProseSecret:
    """A text that only the staff may see. sentence: only a copy of the whole counts."""

    owner: str
    words: tuple[str, ...]
    sentence: bool = False

    def copied(self, public: Public) -> str:
        """The words that stand in the public text too; "" when there are none."""
        size = len(self.words) if self.sentence else min(PROSE_RUN, len(self.words))
        if size < PROSE_WHOLE:
            return ""
        return next((" ".join(run) for run in _runs(self.words, size) if public.says(run)), "")


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def _normal(line: str) -> str:
    line = re.sub(r"^[\s#>]+", "", line)
    line = STRING_OR_COMMENT.sub(lambda match: match[1] or "", line)
    line = line.replace("'", '"').replace("`", "")
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", line)  # a space stays between two words only


def _common_run(a: Sequence[str], b: Sequence[str]) -> list[str]:
    run = []
    for left, right in zip(a, b):
        if left != right:
            break
        run.append(left)
    return run


def _distinct_words(lines: Iterable[str]) -> int:
    return len({word for line in lines for word in NAME_OR_NUMBER.findall(line)} - COMMON_NAMES)
