"""The student bundle: one folder and one zip that hold what a student needs, looked through by the leak gate."""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.build.allowlist import figures_shown, is_staff_only
from autograder.build.gate import LeakError, inspect
from autograder.build.outputs import homework_files, write_atomically
from autograder.build.regions import BuildError
from autograder.build.requirements import requirements_texts
from autograder.build.strip import notebook_text, starter_notebook
from autograder.build.student_readme import student_readme
from autograder.course import Course, Homework

CACHES = ("__pycache__", ".ipynb_checkpoints", ".DS_Store")
OLDEST = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the same content gives the same bytes


def release(course: Course, homework: Homework, out: Path) -> Path:
    """Write the bundle as `out/hw1/` and `out/hw1.zip`, and hand the notebook to nbgrader; the path of the zip.

    nbgrader finds it as source/ and release/hw1/hw1.ipynb in the term's tree. Raises LeakError with every finding, or
    BuildError (generated files out of step, a figure missing, points changed after the first submission); then nothing
    at all has been written.
    """
    starter = starter_notebook(homework)
    _require_in_step(course, homework)
    _require_same_points(course, homework, starter)
    _require_replaceable(out / homework.name, homework)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".release-") as scratch:
        folder = Path(scratch) / homework.name
        _assemble(course, homework, starter, folder)
        if findings := inspect(folder, course, homework):
            raise LeakError(homework.name, findings)
        packed = _pack(folder)
        _replace_folder(folder, out / homework.name, Path(scratch) / "old")
    for stage in ("source", "release"):
        place = course.work / stage / homework.name / homework.starter.name
        write_atomically(place, notebook_text(starter).encode())
    target = out / f"{homework.name}.zip"
    write_atomically(target, packed)
    return target


def _assemble(course: Course, homework: Homework, starter: NotebookNode, folder: Path) -> None:
    """Put everything in place. common/ goes without caches and staff-only files; the gate names what else is odd."""
    text = notebook_text(starter)
    readme = student_readme(course, homework)
    shutil.copytree(course.root / "common", folder / "common", symlinks=True, ignore=_left_out)
    (folder / homework.starter.name).write_text(text, encoding="utf-8", newline="\n")
    (folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")
    students = requirements_texts(course.root)["requirements-student.txt"]
    (folder / "requirements.txt").write_text(students, encoding="utf-8", newline="\n")
    shown = "\n".join([readme, *(cell.source for cell in starter.cells)])
    for figure in sorted(figures_shown(shown)):
        if not (homework.path / figure).is_file():
            raise BuildError(f"{homework.path / figure} is missing, but the notebook or README shows it")
        (folder / figure).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(homework.path / figure, folder / figure, follow_symlinks=False)


def _left_out(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name in CACHES or is_staff_only(name)}


def _pack(folder: Path) -> bytes:
    """A zip of the folder: sorted names, one time stamp, plain files."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                info = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), OLDEST)
                info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
                archive.writestr(info, path.read_bytes())
        file.seek(0)
        return file.read()


def _require_in_step(course: Course, homework: Homework) -> None:
    for path, text in homework_files(homework).items():
        if not path.exists() or path.read_bytes() != text.encode():
            where = path.relative_to(course.root)
            raise BuildError(f"{where} is not what its source builds: run `autograder build`, look at it, commit it")


def _require_same_points(course: Course, homework: Homework, starter: NotebookNode) -> None:
    """nbgrader's gradebook breaks when grade_ids or points change after students have handed in."""
    released = course.work / "release" / homework.name / homework.starter.name
    submitted = any((course.work / "submitted").glob(f"*/{homework.name}"))
    if submitted and released.exists():
        before, now = _points(nbformat.read(released, as_version=4)), _points(starter)
        if changed := sorted(set(before.items()) ^ set(now.items())):
            names = ", ".join(dict.fromkeys(name for name, _ in changed))
            raise BuildError(f"{homework.name} has submissions; ids and points must stay as released: {names}")


def _points(notebook: NotebookNode) -> dict[str, float | None]:
    cells = [cell.metadata["nbgrader"] for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {cell["grade_id"]: cell.get("points") for cell in cells}


def _require_replaceable(folder: Path, homework: Homework) -> None:
    """Overwrite an older bundle only, never a folder with something else in it."""
    if folder.exists() and not ((folder / "common").is_dir() and (folder / homework.starter.name).is_file()):
        raise BuildError(f"{folder} exists and is no bundle of {homework.name}: choose another folder with --out")


def _replace_folder(new: Path, target: Path, old: Path) -> None:
    if target.exists():
        os.rename(target, old)
    os.rename(new, target)
