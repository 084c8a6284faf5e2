"""The notebook as handed in: which cell answers which question, found by tags, nbgrader's metadata or cell ids."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

ID = r"[twqer]\d*_[a-z0-9_]+"
PLAIN_TAGS = ("setup", "experiment", "collaboration")
TABLE_ROW = re.compile(rf"^\|\s*(?P<label>[^|]+?)\s*\|\s*`(?P<id>{ID})`\s*\|\s*(?P<points>[\d.]+)\s*\|", re.MULTILINE)
MAX_BYTES = 50 * 2**20


class SubmitError(Exception):
    """The notebook can't be handed in; the message says why and what to do."""


@dataclass(frozen=True)
class Cell:
    """A cell. tag: a question's id, check_<id>, setup, experiment, collaboration, or "" for all others."""

    tag: str
    is_code: bool
    source: str


@dataclass(frozen=True)
class Question:
    """A question of the notebook's table, with its cells; None for a cell that is gone. label: such as `Q4 Masks`."""

    id: str
    label: str
    answer: Cell | None
    check: Cell | None

    @property
    def kind(self) -> str:
        """The id's first letter: t theory, w written, q programming, e experiment, r report."""
        return self.id[0]


@dataclass(frozen=True)
class Homework:
    """A student's notebook. name: such as hw1. questions: in the order of the notebook's table."""

    path: Path
    name: str
    node: NotebookNode
    cells: tuple[Cell, ...]
    questions: tuple[Question, ...]

    @property
    def folder(self) -> Path:
        return self.path.parent


def read_homework(path: str | Path) -> Homework:
    """Read a notebook and find its questions. Raises SubmitError when it is none, or holds no questions."""
    path = Path(path)
    node = _read(path)
    cells = tuple(_cell(cell) for cell in node.cells)
    labels = {row["id"]: row["label"] for cell in cells if not cell.is_code for row in TABLE_ROW.finditer(cell.source)}
    for cell in cells:  # questions that the table, edited or lost, does not name
        if (name := cell.tag.removeprefix("check_")) and name not in (*PLAIN_TAGS, *labels):
            labels[name] = name
    if not labels:
        raise SubmitError(f"{path} has no question of a homework. Hand in the starter notebook, filled in.")
    by_tag = {cell.tag: cell for cell in reversed(cells)}  # of cells that were copied, the first counts
    questions = tuple(Question(i, label, by_tag.get(i), by_tag.get(f"check_{i}")) for i, label in labels.items())
    return Homework(path.resolve(), _homework_name(path), node, cells, questions)


def _read(path: Path) -> NotebookNode:
    if path.suffix != ".ipynb":
        raise SubmitError(f"{path} is no notebook: its name must end in .ipynb.")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SubmitError(f"{path} has more than {MAX_BYTES // 2**20} MB. Clear the outputs of cells that print "
                              "much or show very large figures, and save it.")
        node = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except FileNotFoundError:
        raise SubmitError(f"{path} does not exist. Run this in the folder of your notebook.") from None
    except OSError as error:
        raise SubmitError(f"{path} can't be opened ({error.strerror}).") from error
    except Exception as error:  # nbformat has many ways to say that a file is no notebook
        raise SubmitError(f"{path} can't be read as a notebook ({type(error).__name__}: {str(error)[:200]}). Open it in "
                          "JupyterLab and save it again, or take your last copy that opens.") from error
    if not isinstance(node.get("cells"), list) or not all(isinstance(cell, dict) for cell in node.cells):
        raise SubmitError(f"{path} is no notebook: it has no list of cells.")
    return node


def _cell(cell: NotebookNode) -> Cell:
    source = cell.get("source", "")
    return Cell(_tag(cell), cell.get("cell_type") == "code", "".join(source) if isinstance(source, list) else source)


def _tag(cell: Mapping[str, Any]) -> str:
    """The cell's role by its tags; where an editor has dropped them, by nbgrader's metadata or by the cell's id."""
    metadata = cell.get("metadata", {})
    for tag in metadata.get("tags", []):
        if _is_role(tag):
            return tag
    grading = metadata.get("nbgrader", {})
    name = str(grading.get("grade_id", ""))
    if _is_role(name.removesuffix("-answer")):
        return f"check_{name}" if grading.get("locked") else name.removesuffix("-answer")
    name = re.sub(r"-\d+$", "", str(cell.get("id", "")))
    return name if _is_role(name) else ""


def _is_role(tag: Any) -> bool:
    return isinstance(tag, str) and (tag in PLAIN_TAGS or re.fullmatch(f"(check_)?{ID}", tag) is not None)


def _homework_name(path: Path) -> str:
    """hw1 for hw1.ipynb, and for the names that browsers and students make of it: `hw1 (2)`, `HW1_final`."""
    found = re.search(r"hw\d+", path.stem.lower())
    return found.group() if found else re.sub(r"\W+", "_", path.stem)
