"""A folder as handed in -> Submission. Never raises for what a student did."""

from pathlib import Path

from nbformat import NotebookNode

from autograder.course import Homework
from autograder.submission.matching import Match, Slot, match, slots
from autograder.submission.model import Submission
from autograder.submission.reading import NotebookError, read_notebook
from autograder.submission.repair import definitions, repaired

MAX_FILES = 5_000
ENOUGH = 3  # questions that a notebook must answer to count as this homework's


def read_submission(folder: Path, homework: Homework, release: NotebookNode) -> Submission:
    """Read, repair and judge one submission.

    folder: what the student handed in, as extracted; symbolic links in it are ignored. release: the starter notebook.
    The result's notes say what was repaired and its problems what a person must look at; `notebook` is None when there
    is nothing to grade.
    """
    wanted = slots(release, homework)
    notes: list[str] = []
    problems: list[str] = []
    files = _files(folder, problems)
    checkpoints = _checkpoints(files, notes)
    best = _best_notebook(files, homework, wanted, notes, problems)
    if best is None:
        return Submission(folder, None, notes=tuple(notes), problems=tuple(problems), checkpoints=checkpoints)
    notebook, found = best
    placed = repaired(notebook.cells, wanted, found, notes)
    cells = definitions(placed, notes)
    notebook.cells = [p.cell for p in placed]
    notebook.metadata = NotebookNode(release.metadata)
    return Submission(folder, notebook, tuple(cells), tuple(notes), tuple(problems), checkpoints)


def _files(folder: Path, problems: list[str]) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if hidden or path.is_symlink() or not path.is_file():
            continue
        found.append(path)
        if len(found) >= MAX_FILES:
            problems.append(f"more than {MAX_FILES:,} files were handed in; the rest was not looked at")
            break
    return [path for path in found if path.resolve().is_relative_to(folder.resolve())]


def _checkpoints(files: list[Path], notes: list[str]) -> dict[str, Path]:
    """Checkpoints by name; of two with one name the one in a folder called artifacts counts."""
    result = {}
    for path in sorted(files, key=lambda p: (p.parent.name == "artifacts", -len(p.parts))):
        if path.suffix == ".safetensors":
            result[path.stem] = path
        elif path.suffix in (".pt", ".pth", ".pkl", ".ckpt", ".bin"):
            notes.append(f"{path.name}: no safetensors file, so it is not opened; save with common.artifacts.save")
    return result


def _best_notebook(
    files: list[Path], homework: Homework, wanted: list[Slot], notes: list[str], problems: list[str]
) -> tuple[NotebookNode, Match] | None:
    paths = [path for path in files if path.suffix.lower() == ".ipynb"]
    if not paths:
        problems.append(f"no notebook was handed in (a file {homework.name}.ipynb is expected)")
    candidates = []
    for path in paths[:20]:
        try:
            notebook, repairs = read_notebook(path)
        except (NotebookError, OSError) as error:
            problems.append(str(error))
            continue
        found = match(notebook.cells, wanted)
        candidates.append((_answered(found, wanted), path.stem == homework.name, path, notebook, found, repairs))
    candidates.sort(key=lambda c: (min(c[0], ENOUGH), c[1], c[0]))
    if not candidates:
        return None
    answered, named, path, notebook, found, repairs = candidates[-1]
    if answered < ENOUGH:
        problems.append(f"{path.name} is not the notebook of {homework.name}: it has {answered} of its question cells")
        return None
    notes.extend(repairs)
    if not named:
        notes.append(f"the notebook is called {path.name}; it was read as {homework.name}.ipynb")
    _name_the_rest(path, [c for c in candidates[:-1] if c[0] >= ENOUGH], problems)
    return notebook, found


def _answered(found: Match, wanted: list[Slot]) -> int:
    return len({wanted[number].question for number in found.found if wanted[number].question})


def _name_the_rest(path: Path, others: list, problems: list[str]) -> None:
    if others:
        names = ", ".join(str(other[2].name) for other in others)
        problems.append(f"several notebooks were handed in; {path.name} was graded, not {names}")
