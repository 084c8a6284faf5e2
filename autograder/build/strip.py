"""Notebook with solutions -> starter. nbgrader's own preprocessors do the stripping; messages are put in afterwards."""

import ast
import json

import nbformat
from nbformat import NotebookNode

from autograder.build.regions import BuildError, find_regions
from autograder.build.source import question_of, reference_notebook, require_complete
from autograder.course import Homework

# ClearSolutions knows one stub for all regions. It writes this one; each is then replaced by its region's own message.
STUB = "@@ a region's message goes here @@"


def starter_notebook(homework: Homework) -> NotebookNode:
    """The notebook that students get: no solutions, no outputs, locked checks, and a TODO for each solution region.

    Raises BuildError when a question is missing or a stub leaves a cell that Python can't compile.
    """
    notebook = reference_notebook(homework)
    require_complete(notebook, homework)
    messages = [_messages(homework, cell) for cell in notebook.cells]
    _clear(notebook)
    for cell, found in zip(notebook.cells, messages, strict=True):
        for message in found:
            cell.source = cell.source.replace(STUB, _todo(cell, message), 1)
        _require_python(homework, cell)
    _seal(notebook)
    return notebook


def notebook_text(notebook: NotebookNode) -> str:
    """The notebook as it stands in a file: sorted keys, one final newline, the same bytes for the same notebook."""
    return nbformat.writes(notebook) + "\n"


def _messages(homework: Homework, cell: NotebookNode) -> list[str]:
    """What each region of the cell asks for: its marker's message, else the question's title."""
    regions = find_regions(cell.source, f"{homework.solution}, cell {cell.id}")
    if not regions:
        return []
    question = homework.question(question_of(cell))
    return [f"TODO {question.id}: {region.message or question.title}" for region in regions]


def _todo(cell: NotebookNode, message: str) -> str:
    if cell.cell_type == "markdown":
        return f"*Your answer ({message})*"
    return f"raise NotImplementedError({json.dumps(message, ensure_ascii=False)})"


def _clear(notebook: NotebookNode) -> None:
    # Imported here because nbgrader takes seconds to import, and grading needs reference_notebook alone.
    from nbgrader.preprocessors import ClearOutput, ClearSolutions, LockCells

    LockCells().preprocess(notebook, {})
    ClearSolutions(code_stub={"python": STUB}, text_stub=STUB).preprocess(notebook, {})
    ClearOutput().preprocess(notebook, {})


def _seal(notebook: NotebookNode) -> None:
    """Add nbgrader's checksums (an untouched written answer then scores 0 by itself) and let it check the metadata."""
    from nbgrader.preprocessors import CheckCellMetadata, ComputeChecksums

    ComputeChecksums().preprocess(notebook, {})
    CheckCellMetadata().preprocess(notebook, {})
    nbformat.validate(notebook)


def _require_python(homework: Homework, cell: NotebookNode) -> None:
    if cell.cell_type != "code":
        return
    try:
        ast.parse(cell.source)
    except SyntaxError as error:
        where = f"{homework.solution}, cell {cell.id}, line {error.lineno} of the starter"
        raise BuildError(f"{where}: {error.msg}. Cells hold plain Python, without magics") from error
