"""From matched cells to a notebook that nbgrader can grade and to the definitions that grading loads."""

from collections.abc import Callable
from typing import NamedTuple

from nbformat import NotebookNode

from autograder.submission.matching import Match, Slot, is_stub, same
from autograder.submission.model import Cell
from autograder.submission.reducing import (
    CellError,
    Reduced,
    defined_names,
    definitions_only,
    does_something,
    imported_names,
    training_functions,
    without_magics,
    without_training,
)


class Placed(NamedTuple):
    """A cell of the repaired notebook: the release's cell that it answers (None: the student added it)."""

    slot: Slot | None
    cell: NotebookNode
    repeated: bool = False


def repaired(cells: list[NotebookNode], wanted: list[Slot], found: Match, notes: list[str]) -> list[Placed]:
    """The student's cells in their order, with the release's metadata; locked ones restored, missing ones put back."""
    chosen = {number: _choose(cells, wanted[number], ps, notes) for number, ps in found.found.items()}
    owner = {positions[-1]: number for number, (positions, _) in chosen.items()}
    merged = {p for positions, _ in chosen.values() for p in positions[:-1]}
    result: list[tuple[int, Placed]] = []
    for position, cell in enumerate(cells):
        if position in owner:
            number = owner[position]
            own = [cells[p] for p in chosen[number][0]]
            result.append((number, Placed(wanted[number], _restored(wanted[number], own, chosen[number][1], notes))))
        elif position not in merged:
            result.append((-1, Placed(None, _unmarked(cell), repeated=position not in found.added)))
    _put_back(result, wanted, notes)
    for number, (_, placed) in enumerate(result):
        placed.cell.id = placed.cell.id or f"student-{number}"
    return [placed for _, placed in result]


def _choose(cells: list[NotebookNode], slot: Slot, positions: list[int], notes: list[str]) -> tuple[list[int], str]:
    """Which of a slot's cells count, and their text.

    Code: the last that is no stub, with earlier ones that define a name which later ones do not (a cell split in two).
    Words: the last that is no stub when the cells repeat one id, all of them when they were found by place.
    """
    if slot.locked or len(positions) == 1:
        return positions[-1:], cells[positions[-1]].source
    real = [p for p in positions if not is_stub(cells[p].source, slot)] or positions[-1:]
    marked = [p for p in real if cells[p].metadata.get("nbgrader")]
    if slot.role == "written" and not marked:
        kept = real
    else:
        kept = _contributing(cells, real)
    counts = "all count" if len(kept) == len(positions) else f"the last {len(kept)} that are no stubs count"
    notes.append(f"{slot.label}: {len(positions)} cells answer it; {counts}")
    return kept, "\n\n".join(cells[p].source for p in kept)


def _contributing(cells: list[NotebookNode], positions: list[int]) -> list[int]:
    kept, covered = [positions[-1]], defined_names(cells[positions[-1]].source)
    for position in reversed(positions[:-1]):
        more = defined_names(cells[position].source) - covered
        if more:
            kept.insert(0, position)
            covered |= more
    return kept


def _restored(slot: Slot, own: list[NotebookNode], source: str, notes: list[str]) -> NotebookNode:
    """The release's cell with the student's text and pictures, or with its own text where students may not change it."""
    cell = _copy(slot.cell)
    if not slot.locked:
        cell.source = source
        for part in own:
            _add_pictures(cell, part)
    elif not same(source, slot.cell.source):
        notes.append(f"{slot.label}: the locked cell was edited; the release's text was restored")
    return cell


def _add_pictures(cell: NotebookNode, part: NotebookNode) -> None:
    """Outputs of code, attachments of words."""
    if cell.cell_type == part.cell_type == "code":
        cell.outputs = [*cell.outputs, *part.get("outputs", [])]
    elif cell.cell_type == part.cell_type and "attachments" in part:
        cell.attachments = NotebookNode({**cell.get("attachments", {}), **part.attachments})


def _put_back(result: list[tuple[int, Placed]], wanted: list[Slot], notes: list[str]) -> None:
    """Insert required cells that the student deleted, each after the nearest earlier cell of the release."""
    present = {number for number, _ in result}
    for number, slot in enumerate(wanted):
        if number in present or not slot.required:
            continue
        before = [i for i, (n, _) in enumerate(result) if 0 <= n < number]
        nearest = max(before, key=lambda i: result[i][0], default=-1)
        result.insert(nearest + 1, (number, Placed(slot, _copy(slot.cell))))
        notes.append(f"{slot.label}: the cell was missing; it was put back as released")


def _copy(cell: NotebookNode) -> NotebookNode:
    copy = NotebookNode({key: cell[key] for key in ("cell_type", "source")})
    copy.id = cell.get("id", "")
    copy.metadata = NotebookNode(cell.metadata)
    if "nbgrader" in cell.metadata:
        copy.metadata.nbgrader = NotebookNode(cell.metadata.nbgrader)
    if cell.cell_type == "code":
        copy.execution_count = None
        copy.outputs = []
    return copy


def _unmarked(cell: NotebookNode) -> NotebookNode:
    plain = _copy(NotebookNode(cell_type=cell.cell_type, metadata={}, source=cell.source))
    _add_pictures(plain, cell)
    return plain


class _Loader:
    """Collects the definitions to load; remembers what earlier cells import and what was left out of them."""

    def __init__(self, notes: list[str]) -> None:
        self.cells: list[Cell] = []
        self.notes = notes
        self.lost: frozenset[str] = frozenset()
        self.imported: frozenset[str] = frozenset()

    def add(self, name: str, source: str, reduce: Callable[[str], Reduced], quiet: bool = False) -> None:
        """Load a cell's reduced text under this name; `quiet` for cells of which little is expected."""
        try:
            python = without_magics(source)
            reduced = reduce(python.source)
        except CellError as error:
            self.notes.append(f"{name}: {error}; the cell is left out, all others are graded")
            return
        lines = sorted({*python.left_out, *reduced.left_out})
        if lines and not quiet:
            shown = ", ".join(map(str, lines[:8])) + (" ..." if len(lines) > 8 else "")
            self.notes.append(f"{name}: not run when grading: the statements at line {shown}")
        self.lost |= reduced.lost
        self.imported |= imported_names(reduced.source)
        if does_something(reduced.source):
            self.cells.append(Cell(name, reduced.source))


def definitions(placed: list[Placed], notes: list[str]) -> list[Cell]:
    """The cells to load, in order: setup, questions, what the student added, classes and functions of experiments."""
    loader = _Loader(notes)
    trainers = training_functions([p.cell.source for p in placed if p.cell.cell_type == "code"])
    known = frozenset().union(*(defined_names(p.cell.source) for p in placed if p.slot and p.slot.role == "definition"))
    added = 0
    for slot, cell, repeated in placed:
        if cell.cell_type != "code" or repeated or (slot and slot.role == "check"):
            continue
        if slot is None or slot.role == "setup":
            if slot is not None:
                loader.add("setup", slot.cell.source, Reduced)
            if slot is None or not same(cell.source, slot.cell.source):
                added += 1
                loader.add(f"added-{added}", cell.source, _strict(loader))
        elif slot.role == "definition":
            loader.add(slot.question, cell.source, _lenient(loader, trainers) if slot.question[0] == "q" else Reduced)
        elif slot.question and not same(cell.source, slot.cell.source):
            loader.add(slot.question, cell.source, _strict(loader, values=False, known=known), quiet=True)
    return loader.cells


def _lenient(loader: _Loader, trainers: frozenset[str]) -> Callable[[str], Reduced]:
    return lambda source: without_training(source, loader.lost, trainers)


def _strict(loader: _Loader, **limits) -> Callable[[str], Reduced]:
    return lambda source: definitions_only(source, loader.lost, loader.imported, **limits)
