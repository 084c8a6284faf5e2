"""The result of pre-flight."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode


@dataclass(frozen=True)
class Cell:
    """One definition cell to load when grading. `name`: a question id, `setup`, or `added-<n>`."""

    name: str
    source: str


@dataclass(frozen=True)
class Submission:
    """One student's submission after pre-flight.

    folder: as handed in. notebook: repaired, fit for nbgrader; None when nothing could be read. cells: definitions to
    load, in order. notes: what was repaired or left out. problems: what a person must look at. checkpoints: name ->
    safetensors file.
    """

    folder: Path
    notebook: NotebookNode | None
    cells: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
