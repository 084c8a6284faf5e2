"""<work>/prepared/<student>/<homework>/: what nbgrader gets to see of a submission.

The notebook as pre-flight repaired it, the time stamp, and pictures that a report may show.
"""

import json
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from autograder.course import Homework
from autograder.nbgrader_config import PREPARED
from autograder.submission import Submission
from autograder.submission.outputs import PICTURES

MAX_PICTURES, MAX_PICTURE = 40, 5_000_000
SUFFIXES = {".png": PICTURES["image/png"], ".jpg": PICTURES["image/jpeg"], ".jpeg": PICTURES["image/jpeg"]}


def prepared_folder(work: Path, homework: Homework, student: str) -> Path:
    return work / PREPARED / student / homework.name


def prepare(work: Path, homework: Homework, student: str, submission: Submission, release: NotebookNode, key: str) -> None:
    """Write the student's prepared folder anew. key: what it was made from, kept in the notebook's metadata."""
    target = prepared_folder(work, homework, student)
    built = target.with_name(f".{target.name}.new")
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir(parents=True)
    notebook = submission.notebook or _blank(release, submission)
    notebook.metadata["autograder"] = {"key": key}
    # Not nbformat.write, which validates: the exporter does so when it reads the file.
    (built / f"{homework.name}.ipynb").write_text(nbformat.v4.writes(notebook), encoding="utf-8")
    stamp = submission.folder / "timestamp.txt"
    if stamp.is_file():
        shutil.copyfile(stamp, built / "timestamp.txt")
    _copy_pictures(submission.folder, built)
    shutil.rmtree(target, ignore_errors=True)
    built.rename(target)


def key_of(notebook: Path) -> str:
    """The key that a prepared or autograded notebook was made from; "" when there is none."""
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))["metadata"]["autograder"]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _blank(release: NotebookNode, submission: Submission) -> NotebookNode:
    """The released notebook, under a line that says why nothing of the student's is in it."""
    blank = nbformat.from_dict(release)
    reasons = "".join(f"\n- {problem}" for problem in submission.problems)
    blank.cells = [new_markdown_cell(f"**No notebook could be graded.**\n{reasons}", id="no-notebook"), *blank.cells]
    return blank


def _copy_pictures(folder: Path, built: Path) -> None:
    """PNG and JPEG files in folders called figures, each where a markdown cell would look for it."""
    found = [path for path in sorted(folder.rglob("figures/*")) if path.suffix.lower() in SUFFIXES and not path.is_symlink()]
    for path in found[:MAX_PICTURES]:
        if path.stat().st_size > MAX_PICTURE or not path.resolve().is_relative_to(folder.resolve()):
            continue
        data = path.read_bytes()
        if data.startswith(SUFFIXES[path.suffix.lower()]):
            (built / "figures").mkdir(exist_ok=True)
            (built / "figures" / path.name).write_bytes(data)
