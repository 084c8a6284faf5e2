"""The leak gate: reads a finished bundle as a student would and names everything that must not be in it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.build.allowlist import figures_shown, is_allowed
from autograder.build.arrays import SUFFIXES, ArrayError, content_hashes, load_arrays, staff_data
from autograder.build.markers import marker_remnant
from autograder.build.matching import Public
from autograder.build.regions import BuildError
from autograder.build.secrets import Secrets, gather
from autograder.build.source import NOTEBOOK_METADATA
from autograder.course import Course, Homework

TEXT_SUFFIXES = (".py", ".md", ".txt", ".svg", "")
CELL_KEYS = {"cell_type", "id", "metadata", "source", "outputs", "execution_count"}
METADATA_KEYS = {"tags": list, "nbgrader": dict, "deletable": bool, "editable": bool}
NBGRADER_KEYS = {
    "grade": bool, "grade_id": str, "locked": bool, "points": (int, float), "schema_version": int, "solution": bool,
    "task": bool, "checksum": str, "cell_type": str,
}  # fmt: skip
STAFF_CODE = re.compile(r"\b(?:from|import)\s+autograder\b|@weight\(|\bdef test_\w+\(\s*student\b|\bH\d-[A-Z]\d{2}\b")
TAG = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Finding:
    """One leak. cell: the notebook cell's id, "" elsewhere. todo: what the author should do."""

    file: str
    cell: str
    what: str
    todo: str

    def __str__(self) -> str:
        place = f"{self.file}, cell {self.cell}" if self.cell else self.file
        return f"{place}: {self.what}. {self.todo}."


class LeakError(BuildError):
    """The bundle would give something away; `findings` has every place. Nothing was released."""

    def __init__(self, homework: str, findings: list[Finding]):
        self.findings = tuple(findings)
        lines = "\n".join(f"  {finding}" for finding in findings)
        super().__init__(f"{homework} is not released, {len(findings)} finding(s):\n{lines}")


def inspect(bundle: Path, course: Course, homework: Homework) -> list[Finding]:
    """Every leak in the bundle's folder, by file and cell; empty when it may go out."""
    secrets = gather(homework)
    data = staff_data([homework.heldout, course.root / "autograder"])
    shown = _figures(bundle, homework)
    findings: list[Finding] = []
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            findings.append(Finding(name, "", "is a link or no plain file", "Put the file itself there, or remove it"))
        elif path.is_file() and not is_allowed(name, homework.starter.name, shown):
            todo = "Remove it, or add its kind to autograder/build/allowlist.py"
            findings.append(Finding(name, "", "is an unexpected file, not on the allow-list", todo))
        elif path.is_file():
            findings += _file(path, name, secrets, data)
    return findings


def _figures(bundle: Path, homework: Homework) -> set[str]:
    paths = [bundle / homework.starter.name, bundle / "README.md"]
    texts = [path.read_text("utf-8", "replace").replace('\\"', '"') for path in paths if path.is_file()]
    return figures_shown("\n".join(texts))


def _file(path: Path, name: str, secrets: Secrets, data: dict[bytes, str]) -> Iterator[Finding]:
    if path.suffix == ".ipynb":
        yield from _notebook(path, name, secrets)
    elif path.suffix in SUFFIXES:
        yield from _data(path, name, data)
    elif path.suffix in TEXT_SUFFIXES:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            yield Finding(name, "", "is no UTF-8 text, so it can't be looked through", "Save it as UTF-8, or remove it")
        else:
            yield from _text(name, "", text, secrets)


def _notebook(path: Path, name: str, secrets: Secrets) -> Iterator[Finding]:
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat lets any kind of error through
        yield Finding(name, "", f"is no notebook ({error})", "Run `autograder build`")
        return
    if notebook.metadata != NOTEBOOK_METADATA:
        yield Finding(name, "", "has notebook metadata that the builder does not write", "Run `autograder build`")
    for cell in notebook.cells:
        yield from _cell(name, cell)
        yield from _text(name, cell.id, cell.source, secrets)


def _cell(name: str, cell: NotebookNode) -> Iterator[Finding]:
    """Where answers hide in a notebook besides its text."""
    if cell.get("outputs"):
        yield Finding(name, cell.id, "has outputs", "Clear them: outputs show what the solution prints")
    if cell.get("execution_count") is not None:
        yield Finding(name, cell.id, "has an execution count, so it was run", "Clear outputs and counts")
    if cell.get("attachments"):
        yield Finding(name, cell.id, "has attachments", "Show pictures from files beside the notebook")
    strange = sorted({*cell} - CELL_KEYS - {"attachments"})
    strange += _strange("metadata", cell.metadata, METADATA_KEYS)
    strange += _strange("nbgrader", cell.metadata.get("nbgrader", {}), NBGRADER_KEYS)
    strange += [f"tag {tag!r}" for tag in cell.metadata.get("tags", ()) if not TAG.fullmatch(str(tag))]
    for entry in strange:
        yield Finding(name, cell.id, f"has metadata that the builder does not write ({entry})", "Remove the entry")


def _strange(where: str, entries: dict[str, Any], known: dict[str, Any]) -> list[str]:
    return [f"{where}.{key}" for key, value in entries.items() if not isinstance(value, known.get(key, ()))]


def _data(path: Path, name: str, data: dict[bytes, str]) -> Iterator[Finding]:
    try:
        arrays = load_arrays(path)
    except ArrayError as error:
        yield Finding(name, "", str(error), "Build the file anew, or remove it")
        return
    for array, values in arrays.items():
        if re.search("held_?out|hidden", array, re.I):
            yield Finding(name, "", f"has an array named {array}", "Keep held-out data out of common/")
        found = Counter(data[digest] for digest in content_hashes(values) if digest in data)
        for source, count in found.items():
            what = f"holds {count} row(s) of the staff's {source} in its array {array}"
            yield Finding(name, "", what, "Draw the held-out data from elsewhere, or remove the rows here")


def _text(name: str, cell: str, text: str, secrets: Secrets) -> Iterator[Finding]:
    for line in text.split("\n"):
        if marker_remnant(line):
            todo = "Spell the marker right, in a cell with a question's tag"
            yield Finding(name, cell, f"has what is left of a marker: {line.strip()!r}", todo)
    yield from _copies(name, cell, text, secrets)
    for answer in secrets.answers.given_by(text):
        yield Finding(name, cell, f"gives the answer {answer}", "Move it into the solution region of its question")
    staff = {match.group() for match in STAFF_CODE.finditer(text)} | (secrets.tests & set(re.findall(r"\w+", text)))
    for found in sorted(staff):
        todo = "Keep it in checks/, mutants/ or variants/"
        yield Finding(name, cell, f"has text of the staff's checks, mutants or variants ({found})", todo)


def _copies(name: str, cell: str, text: str, secrets: Secrets) -> Iterator[Finding]:
    public = Public(text)
    for secret in (*secrets.code, *secrets.prose):
        if copy := secret.copied(public):
            what = f"copies {secret.owner}: {copy!r}"
            yield Finding(name, cell, what, "Take it out or move it into a region, or reword it")
