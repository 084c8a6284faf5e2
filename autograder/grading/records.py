"""Verdict files: <work>/verdicts/<homework>/<student>.json and, beside them, every earlier verdict of each student."""

import os
from pathlib import Path

from autograder.checking.keys import tree_hash
from autograder.checking.verdicts import Verdict
from autograder.course import Homework


class Records:
    """The verdicts of one homework on disk. A file is complete or not there; what it replaces moves to history/."""

    def __init__(self, work: Path, homework: Homework) -> None:
        self.folder = work / "verdicts" / homework.name

    def read(self, student: str) -> Verdict | None:
        """The current verdict; None when there is none or its file is damaged or of an older schema."""
        try:
            return Verdict.from_json(self._path(student).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def history(self, student: str) -> list[Path]:
        """Files of the verdicts that were replaced, oldest first."""
        return sorted((self.folder / "history" / student).glob("*.json"))

    def write(self, student: str, verdict: Verdict) -> None:
        """Make `verdict` the current one. Killed at any point, this leaves the old or the new one, and no copy twice."""
        path = self._path(student)
        old = self.read(student)
        if old is not None:
            kept = self.folder / "history" / student / f"{old.created.replace(':', '')}-{old.seed[:8]}.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            if not kept.exists():
                os.link(path, kept)
        write_atomically(path, verdict.to_json())

    def covers(self, verdict: Verdict, folder: Path) -> bool:
        """Whether a verdict was given on the submission as it is in `folder` now."""
        return bool(verdict.submission) and verdict.submission == tree_hash(folder)

    def _path(self, student: str) -> Path:
        return self.folder / f"{student}.json"


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is complete or not there, also after a power failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
