"""requirements.txt and requirements-student.txt, written from pyproject.toml so that versions stand in one place."""

import tomllib
from pathlib import Path

from autograder.build.regions import BuildError

HEADER = "# Written by `autograder build` from pyproject.toml; change that file, not this one."


def requirements_texts(root: Path) -> dict[str, str]:
    """File name -> text: the staff's list (dependencies, staff, dev) and the students' (dependencies alone)."""
    path = root / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        student, extras = project["dependencies"], project["optional-dependencies"]
        staff = [*student, *extras["staff"], *extras["dev"]]
    except (FileNotFoundError, tomllib.TOMLDecodeError, KeyError) as error:
        raise BuildError(f"{path}: can't read dependencies and the extras staff and dev: {error}") from error
    return {"requirements.txt": _text(staff), "requirements-student.txt": _text(student)}


def _text(packages: list[str]) -> str:
    return "\n".join([HEADER, *packages]) + "\n"
