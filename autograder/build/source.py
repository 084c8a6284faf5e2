"""solution.py (percent format) -> notebook with solutions and nbgrader's metadata.

Every cell carries one tag (prose none). The tag decides its kind, its ids and its points; nobody edits metadata.
"""

from collections import Counter
from collections.abc import Sequence

import jupytext
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.build.regions import BuildError, find_regions
from autograder.build.tables import insert_question_table
from autograder.course import Homework

SETUP, EXPERIMENT, COLLABORATION, CHECK = "setup", "experiment", "collaboration", "check_"
PLAIN = ("", SETUP, EXPERIMENT, COLLABORATION)
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def reference_notebook(homework: Homework) -> NotebookNode:
    """The reference as a submission: solution.py as a notebook with ids, tags, nbgrader metadata and points.

    Cell ids derive from tags, so two builds are equal byte for byte. Questions may still be missing, so that checks run
    while the homework is being written; `require_complete` refuses that. Raises BuildError with the cell that is wrong.
    """
    read = _read(homework)
    tags = [_tag(homework, number, cell) for number, cell in enumerate(read, 1)]
    names = _cell_ids(homework, tags)
    cells = [_finished(homework, cell, tag, name) for cell, tag, name in zip(read, tags, names)]
    insert_question_table(cells, homework)
    return new_notebook(metadata=from_dict(NOTEBOOK_METADATA), cells=cells)


def tag_of(cell: NotebookNode) -> str:
    """The tag of a built cell; "" for prose."""
    return next(iter(cell.metadata.get("tags", ())), "")


def question_of(cell: NotebookNode) -> str:
    """The id of the question that a built cell answers or checks; "" for all others."""
    tag = tag_of(cell)
    return "" if tag in PLAIN else tag.removeprefix(CHECK)


def require_complete(notebook: NotebookNode, homework: Homework) -> None:
    """Raise BuildError unless each question has its cells, check after answer, in the order of rubric.toml."""
    wanted = [tag for q in homework.questions for tag in ((q.id, CHECK + q.id) if q.machine_graded else (q.id,))]
    found = [tag for tag in map(tag_of, notebook.cells) if tag not in PLAIN]
    where = homework.solution
    if missing := [tag for tag in wanted if tag not in found]:
        raise BuildError(f"{where}: no cell has the tag {', '.join(missing)}, which rubric.toml asks for")
    for tag, expected in zip(found, wanted):
        if tag != expected:
            raise BuildError(f"{where}: has {tag} where rubric.toml has {expected}; make the orders agree")


def _read(homework: Homework) -> list[NotebookNode]:
    try:
        text = homework.solution.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BuildError(f"{homework.solution} is missing: it is the source that everything is built from") from None
    return jupytext.reads(text, fmt="py:percent").cells


def _tag(homework: Homework, number: int, cell: NotebookNode) -> str:
    """A source cell's one tag. Raises BuildError when it has several, an unknown one, or is code without one."""
    tags = list(cell.metadata.get("tags", ()))
    where = f"{homework.solution}, cell {number} ({_first_line(cell)})"
    if len(tags) > 1:
        raise BuildError(f"{where}: has the tags {', '.join(tags)}; a cell has one")
    tag = tags[0] if tags else ""
    if not tag and cell.cell_type != "markdown":
        raise BuildError(f"{where}: a code cell needs a tag: setup, experiment, a question's id, or check_ and that id")
    if tag not in PLAIN and tag.removeprefix(CHECK) not in {question.id for question in homework.questions}:
        raise BuildError(f"{where}: rubric.toml has no question for the tag {tag!r}")
    if tag.startswith(CHECK) and not homework.question(tag.removeprefix(CHECK)).machine_graded:
        raise BuildError(f"{where}: has the tag {tag}, but only machine-graded questions (t, q, e) have checks")
    return tag


def _first_line(cell: NotebookNode) -> str:
    return next((line.strip()[:60] for line in cell.source.split("\n") if line.strip()), "empty")


def _cell_ids(homework: Homework, tags: Sequence[str]) -> list[str]:
    """Ids that depend on names and order alone: setup, prose-2, q4_masked_conv, check_q4_masked_conv."""
    seen: Counter[str] = Counter()
    names = []
    for tag in tags:
        name = tag or "prose"
        seen[name] += 1
        names.append(name if tag not in PLAIN else f"{name}-{seen[name]}")
    if twice := [name for name in names if names.count(name) > 1]:
        where = f"{homework.solution}: more than one cell has the tag {twice[0]}"
        raise BuildError(f"{where}; a question has one answer cell and one check cell")
    if too_long := [name for name in names if len(name) > 64]:
        raise BuildError(f"{homework.solution}: {too_long[0]} is longer than a cell id may be (64 characters)")
    return names


def _finished(homework: Homework, cell: NotebookNode, tag: str, name: str) -> NotebookNode:
    metadata = {"tags": [tag]} if tag else {}
    where = f"{homework.solution}, cell {name}"
    if tag not in PLAIN:
        metadata["nbgrader"] = _nbgrader(homework, cell, tag, where)
    regions = find_regions(cell.source, where)
    if tag in PLAIN or tag.startswith(CHECK):
        if regions:
            raise BuildError(f"{where}: only a question's answer cell may hold solution regions")
    elif not regions:
        raise BuildError(f"{where}: an answer cell needs a solution region; without one nbgrader clears all of it")
    new_cell = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    return new_cell(source=cell.source, id=name, metadata=from_dict(metadata))


def _nbgrader(homework: Homework, cell: NotebookNode, tag: str, where: str) -> dict[str, object]:
    """nbgrader's metadata: t, q, e have an answer cell and a locked grade cell; w and r one cell, marked by hand."""
    question = homework.question(tag.removeprefix(CHECK))
    wanted = "code" if question.machine_graded else "markdown"
    if cell.cell_type != wanted:
        raise BuildError(f"{where}: must be a {wanted} cell")
    check = tag.startswith(CHECK)
    grade = check or not question.machine_graded
    metadata: dict[str, object] = {
        "grade": grade,
        "grade_id": question.id if grade else f"{question.id}-answer",
        "locked": check,
        "schema_version": 3,
        "solution": not check,
        "task": False,
    }
    return metadata | ({"points": question.points} if grade else {})
