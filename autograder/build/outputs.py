"""Everything that is generated and committed: starters, README tables, requirements files."""

import os
import tempfile
from pathlib import Path

from autograder.build.requirements import requirements_texts
from autograder.build.strip import notebook_text, starter_notebook
from autograder.build.tables import readme_with_table
from autograder.course import Course, Homework


def build(course: Course) -> list[Path]:
    """Write every generated file that is not up to date; the paths written, in order.

    All texts are made before the first is written, and each file is replaced at once: an error leaves all as it was.
    """
    outdated = [(path, text) for path, text in _expected(course).items() if _current(path) != text]
    for path, text in outdated:
        write_atomically(path, text.encode())
    return [path for path, _ in outdated]


def out_of_step(course: Course) -> list[str]:
    """One sentence for each generated file that is not what its source builds; empty when all are in step."""
    return [_sentence(course, path) for path, text in _expected(course).items() if _current(path) != text]


def homework_files(homework: Homework) -> dict[Path, str]:
    """Path -> text of a homework's generated files."""
    return {
        homework.starter: notebook_text(starter_notebook(homework)),
        homework.path / "README.md": readme_with_table(homework),
    }


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at once: a reader sees the old content or the new, never a part. Mode 0644."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _expected(course: Course) -> dict[Path, str]:
    files = {course.root / name: text for name, text in requirements_texts(course.root).items()}
    for homework in course.homeworks:
        files |= homework_files(homework)
    return files


def _current(path: Path) -> str | None:
    """The file's exact text (line ends kept); None when there is none."""
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else None


def _sentence(course: Course, path: Path) -> str:
    state = "is not what its source builds" if path.exists() else "is missing"
    return f"{path.relative_to(course.root)} {state}: run `autograder build`"
