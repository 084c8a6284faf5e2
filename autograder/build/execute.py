"""Run a reference notebook from top to bottom and keep it as one HTML file with its figures."""

import os
from collections.abc import Callable
from pathlib import Path

from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from autograder.build.source import reference_notebook
from autograder.course import ROOT, Homework

CELL_SECONDS = 3600


def execute(homework: Homework, out: Path, progress: Callable[[int, int, str], None] | None = None) -> Path:
    """Execute the reference below `out`/<homework> (where its figures and checkpoints land) and write <homework>.html.

    The preset comes from the environment variable PRESET. progress: called with (cells done, cells, cell id). Raises
    nbclient's CellExecutionError, which shows the cell, when one fails.
    """
    folder = (out / homework.name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    notebook = reference_notebook(homework)
    total = len(notebook.cells)

    def report(cell: NotebookNode, cell_index: int, **_: object) -> None:
        if progress is not None:
            progress(cell_index + 1, total, cell.id)

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
        on_cell_complete=report, coalesce_streams=True,  # else each step of a progress bar stays a line
    )  # fmt: skip
    client.execute(env=environment)
    html, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    path = out / f"{homework.name}.html"
    path.write_text(html, encoding="utf-8")
    return path
