"""The zip that is handed in: notebook, checkpoints, figures and report, and nothing else of the folder."""

import os
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from common.artifacts import write_atomically
from common.submit.notebook import Homework, SubmitError

FIGURES = (".png", ".svg", ".jpg", ".jpeg", ".pdf")
STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def zip_name(homework: Homework, student: str | None) -> str:
    """hw1_<student>.zip, or hw1_submission.zip without a name. Raises SubmitError for a name no file should have."""
    if student is not None and not STUDENT.fullmatch(student):
        raise SubmitError(f"{student!r} can't be part of a file name. Use your user name: letters, digits and . _ -")
    return f"{homework.name}_{student or 'submission'}.zip"


def contents(homework: Homework, report: Path | None) -> dict[str, Path]:
    """Path in the zip -> file: the notebook under its own name, checkpoints of questions, figures, and the report."""
    files = {f"{homework.name}.ipynb": homework.path}
    for question in homework.questions:
        if question.kind == "e":
            files[f"artifacts/{question.id}.safetensors"] = homework.folder / "artifacts" / f"{question.id}.safetensors"
    for figure in _figures(homework.folder / "figures"):
        files[figure.relative_to(homework.folder).as_posix()] = figure
    if report is not None:
        files[f"report{report.suffix}"] = report
    return {name: file for name, file in files.items() if file.is_file()}


def pack(files: dict[str, Path], target: Path) -> Path | None:
    """Write the zip, whole or not at all. A zip that is there already is renamed; the new name of it, or None."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files.items()):
            archive.write(file, name)
    older = None
    if target.exists():
        older = next(path for path in _older_names(target) if not path.exists())
        os.rename(target, older)
    write_atomically(target, buffer.getvalue())
    return older


def _figures(folder: Path) -> list[Path]:
    found = folder.rglob("*") if folder.is_dir() else []
    return sorted(path for path in found if path.suffix.lower() in FIGURES and path.is_file() and not path.is_symlink())


def _older_names(target: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield target.with_name(f"{target.stem}.older-{number}{target.suffix}")
        number += 1
