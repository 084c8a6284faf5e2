"""Which cell of a student's notebook answers which cell of the release."""

import re
from dataclasses import dataclass, field

from nbformat import NotebookNode

from autograder.course import Homework
from autograder.submission.reducing import defined_names

STUB = re.compile(r"raise NotImplementedError\(\s*['\"]TODO")


@dataclass(frozen=True)
class Slot:
    """A cell of the release and what it is for.

    role: setup, definition (t, q), experiment, check, written (w, r), prose. question: its id where it has one.
    """

    cell: NotebookNode
    role: str
    question: str = ""
    names: frozenset[str] = frozenset()

    @property
    def grade_id(self) -> str:
        return self.cell.metadata.get("nbgrader", {}).get("grade_id", "")

    @property
    def label(self) -> str:
        """How notes name the cell."""
        return self.grade_id or self.question or self.role

    @property
    def locked(self) -> bool:
        """Whether students may not change it, so that the release's text counts."""
        data = self.cell.metadata.get("nbgrader", {})
        return self.role == "check" or (bool(data.get("locked") or data.get("grade")) and not data.get("solution"))

    def answered_by(self, names: set[str]) -> bool:
        """Whether a cell that defines these names answers it. A theory question's variables begin with its number."""
        number = self.question.partition("_")[0]
        theory = number.startswith("t") and any(name.startswith(f"{number}_") for name in names)
        return theory or bool(names & self.names)

    @property
    def required(self) -> bool:
        """Whether a notebook without it must get it back."""
        return self.role in ("setup", "definition", "check", "written") or bool(self.grade_id)


@dataclass
class Match:
    """For each slot the student's cells that answer it (by position), and the cells that answer none."""

    found: dict[int, list[int]] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)

    @property
    def taken(self) -> set[int]:
        return {position for positions in self.found.values() for position in positions}


def slots(release: NotebookNode, homework: Homework) -> list[Slot]:
    """The release's cells with their roles, read from nbgrader's metadata, then tags, then cell ids."""
    return [_slot(cell, homework) for cell in release.cells]


def _slot(cell: NotebookNode, homework: Homework) -> Slot:
    data = cell.metadata.get("nbgrader", {})
    tags = cell.metadata.get("tags", [])
    labels = [data.get("grade_id", ""), *tags, cell.get("id", "")]
    for label in labels:
        question = label.removeprefix("check_").removesuffix("-answer")
        if question not in {q.id for q in homework.questions}:
            continue
        kind = homework.question(question).kind
        if kind in "wr":
            return Slot(cell, "written", question)
        if cell.cell_type != "code":
            break
        if label.startswith("check_") or (data.get("grade") and not data.get("solution")):
            return Slot(cell, "check", question)
        role = "experiment" if kind == "e" else "definition"
        return Slot(cell, role, question, frozenset(defined_names(cell.source)))
    return Slot(cell, _plain_role(cell, tags))


def _plain_role(cell: NotebookNode, tags: list[str]) -> str:
    if cell.cell_type == "code" and ("setup" in tags or cell.get("id") == "setup"):
        return "setup"
    return "experiment" if cell.cell_type == "code" else "prose"


def is_stub(source: str, slot: Slot) -> bool:
    """Whether a cell is as released, empty, or still raises the TODO of everything that the release raises."""
    todo = len(STUB.findall(slot.cell.source))
    return not source.strip() or same(source, slot.cell.source) or (0 < todo <= len(STUB.findall(source)))


def same(a: str, b: str) -> bool:
    """Equal but for white space at the ends of lines and of the cell."""
    return [line.rstrip() for line in a.strip().splitlines()] == [line.rstrip() for line in b.strip().splitlines()]


def match(cells: list[NotebookNode], wanted: list[Slot]) -> Match:
    """Match by grade_id, then cell id, then equal text, then defined names, then place between matched neighbours."""
    result = Match()
    for key in (_grade_id, _cell_id, _text):
        _match_by(key, cells, wanted, result)
    _match_names(cells, wanted, result)
    _match_places(cells, wanted, result)
    result.added = [p for p in range(len(cells)) if p not in result.taken]
    return result


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _cell_id(cell: NotebookNode) -> str:
    return cell.get("id", "")


def _text(cell: NotebookNode) -> str:
    return "\n".join(line.rstrip() for line in cell.source.strip().splitlines())


def _match_by(key, cells: list[NotebookNode], wanted: list[Slot], result: Match) -> None:
    """A slot takes every cell with its key that is still free; equal text counts for slots without a cell only."""
    free = set(range(len(cells))) - result.taken
    for number, slot in enumerate(wanted):
        if not key(slot.cell) or (key is _text and number in result.found):
            continue
        hits = [p for p in sorted(free) if key(cells[p]) == key(slot.cell)]
        if key is _text:
            hits = hits[:1]
        if hits:
            result.found[number] = sorted([*result.found.get(number, []), *hits])
            free -= set(hits)


def _match_names(cells: list[NotebookNode], wanted: list[Slot], result: Match) -> None:
    """A question whose cell is missing or still a stub takes the free cells that define its names."""
    free = [p for p in range(len(cells)) if p not in result.taken and cells[p].cell_type == "code"]
    names = {p: defined_names(cells[p].source) for p in free}
    for number, slot in enumerate(wanted):
        own = result.found.get(number, [])
        if slot.role != "definition" or not all(is_stub(cells[p].source, slot) for p in own):
            continue
        hits = [p for p in free if slot.answered_by(names[p])]
        if hits:
            result.found[number] = sorted(own + hits)
            free = [p for p in free if p not in hits]


def _match_places(cells: list[NotebookNode], wanted: list[Slot], result: Match) -> None:
    """A question that nothing else found: the free cells between its matched neighbours (for a definition, if but one)."""
    for number, slot in enumerate(wanted):
        if number in result.found or not slot.question or slot.role == "check":
            continue
        before = [max(ps) for n, ps in result.found.items() if n < number]
        after = [min(ps) for n, ps in result.found.items() if n > number]
        low, high = max(before, default=-1), min((p for p in after if p > max(before, default=-1)), default=len(cells))
        hits = [p for p in range(low + 1, high) if p not in result.taken and cells[p].cell_type == slot.cell.cell_type]
        if len(hits) == 1 or (hits and slot.role != "definition"):
            result.found[number] = hits
