"""Solution regions of a cell: what lies between `### BEGIN SOLUTION: message` and `### END SOLUTION`.

nbgrader's ClearSolutions looks for the bare words anywhere in a line. Here a marker must stand alone on its line and
be spelled exactly, so that what nbgrader would remove and what the author meant can't differ.
"""

import re
from dataclasses import dataclass

from autograder.course import CourseError

BEGIN = re.compile(r"\s*### BEGIN SOLUTION(?:: *(?P<message>\S.*?))? *$")
END = re.compile(r"\s*### END SOLUTION *$")


class BuildError(CourseError):
    """solution.py or another source can't be built; the message says which cell and what to do."""


@dataclass(frozen=True)
class Region:
    """One solution region. message: what the student's TODO says ("" when none is given). lines: without markers."""

    message: str
    lines: tuple[str, ...]


def find_regions(source: str, where: str) -> list[Region]:
    """The solution regions of one cell, in order. where: names the cell in errors.

    Raises BuildError for a marker that is not alone on its line, is nested, or has no partner.
    """
    regions: list[Region] = []
    opened: tuple[str, list[str]] | None = None
    for number, line in enumerate(source.split("\n"), 1):
        place = f"{where}, line {number}"
        if begin := BEGIN.match(line):
            if opened is not None:
                raise BuildError(f"{place}: a solution region begins inside another; close the first one")
            opened = (begin["message"] or "", [])
        elif END.match(line):
            if opened is None:
                raise BuildError(f"{place}: a solution region ends that never began")
            regions.append(Region(opened[0], tuple(opened[1])))
            opened = None
        elif "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            raise BuildError(f"{place}: write markers alone: `### BEGIN SOLUTION: what to do`, `### END SOLUTION`")
        elif opened is not None:
            opened[1].append(line)
    if opened is not None:
        raise BuildError(f"{where}: a solution region never ends; add `### END SOLUTION`")
    return regions


def without_regions(source: str) -> str:
    """The cell as every student sees it: its text without solution regions and markers."""
    given, inside = [], False
    for line in source.split("\n"):
        if BEGIN.match(line) or END.match(line):
            inside = bool(BEGIN.match(line))
        elif not inside:
            given.append(line)
    return "\n".join(given)
