"""From what Blackboard gives a TA to <work>/submitted/<student>/<homework>/, safely and as often as one likes."""

import os
import shutil
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from autograder.checking.keys import tree_hash
from autograder.collect.archives import Budget, unpack
from autograder.collect.names import read_timestamp, timestamp_text
from autograder.collect.sources import Attempt, CollectError, read_attempts
from autograder.course import Course, Homework

__all__ = ["CollectError", "CollectReport", "collect"]


@dataclass
class CollectReport:
    """What became of a download, by student. odd: sentences for a person. missing, unknown: against the roster."""

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The report in lines for a person: counts first, then everyone and everything that needs a look."""
        counts = ((len(self.new), "new"), (len(self.updated), "updated"), (len(self.unchanged), "unchanged"))
        lines = [", ".join(f"{number} {what}" for number, what in counts)]
        lines += [f"{name}: a newer attempt is there already" for name in self.older]
        lines += [f"{name}: has not handed in" for name in self.missing]
        lines += [f"{name}: is not on the roster" for name in self.unknown]
        return "\n".join([*lines, *self.odd])


def collect(course: Course, homework: Homework, path: Path, roster: Collection[str] | None = None) -> CollectReport:
    """Bring a download's submissions into the term's tree; the newest attempt of each student counts.

    path: Blackboard's zip of one column, the same unzipped, or a folder with one entry a student. roster: ids of all who
    take the course. Running it again changes nothing, and an older download never replaces a newer attempt. A student's
    folder is replaced as a whole or not at all. Raises CollectError when the download can't be read.
    """
    report = CollectReport()
    with ExitStack() as opened:
        attempts, report.odd = read_attempts(path, homework.name, course.timezone, opened)
        _recover(course.work)
        for attempt in _newest(attempts, report.odd):
            try:
                _bring_in(course.work, homework, attempt, report)
            except Exception as error:  # one student's files never stop the class
                report.odd.append(f"{attempt.student}: could not be collected: {error}")
    shutil.rmtree(course.work / ".collecting", ignore_errors=True)
    students = {attempt.student for attempt in attempts}
    if roster is not None:
        report.missing, report.unknown = sorted({*roster} - students), sorted(students - {*roster})
    return report


def _newest(attempts: list[Attempt], odd: list[str]) -> list[Attempt]:
    """Each student's newest attempt that holds a file."""
    best: dict[str, Attempt] = {}
    for attempt in sorted(attempts, key=lambda a: (a.student, a.submitted)):
        earlier = best.get(attempt.student)
        if not attempt.files and earlier is not None:
            when = f"{attempt.submitted:%Y-%m-%d %H:%M} UTC"
            odd.append(f"{attempt.student}: the attempt of {when} has no file; an earlier one counts")
        else:
            best[attempt.student] = attempt
    for attempt in [attempt for attempt in best.values() if not attempt.files]:
        odd.append(f"{attempt.student}: handed in no file")
        del best[attempt.student]
    return list(best.values())


def _bring_in(work: Path, homework: Homework, attempt: Attempt, report: CollectReport) -> None:
    target = work / "submitted" / attempt.student / homework.name
    present = _timestamp(target)
    if present is not None and present > attempt.submitted:
        report.older.append(attempt.student)
        return
    built = work / ".collecting" / f"{attempt.student}-{os.getpid()}"
    report.odd += [f"{attempt.student}: {note}" for note in _build(attempt, built)]
    if target.exists() and tree_hash(target) == tree_hash(built):
        report.unchanged.append(attempt.student)
        return
    (report.updated if target.exists() else report.new).append(attempt.student)
    _replace(built, target, work / ".collecting")


def _build(attempt: Attempt, folder: Path) -> list[str]:
    """Write an attempt's files to a fresh folder, zips unpacked; returns notes."""
    shutil.rmtree(folder, ignore_errors=True)
    raw, notes, budget = folder.with_name(f"{folder.name}.raw"), [], Budget()
    folder.mkdir(parents=True)
    for name, write in sorted(attempt.files.items(), key=lambda item: item[0].lower().endswith(".zip")):
        file = raw / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file)
        notes += unpack(file, (folder / name).parent, budget)
    shutil.rmtree(raw, ignore_errors=True)
    if attempt.about:
        (folder / "blackboard.txt").write_text(attempt.about, encoding="utf-8")
    stamp = folder / "timestamp.txt"  # written last: what a student hands in under this name does not count
    if stamp.is_dir():
        shutil.rmtree(stamp)
    stamp.write_text(timestamp_text(attempt.submitted), encoding="utf-8")
    return notes


def _timestamp(target: Path) -> datetime | None:
    try:
        return read_timestamp((target / "timestamp.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _replace(built: Path, target: Path, scratch: Path) -> None:
    """Swap a student's folder; killed in between, the next run puts the old one back."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = scratch / f"{target.name}@{target.parent.name}@old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    built.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _recover(work: Path) -> None:
    """Undo a swap that was killed half-way."""
    for old in (work / ".collecting").glob("*@old"):
        homework, student = old.name.removesuffix("@old").split("@", 1)
        target = work / "submitted" / student / homework
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            old.rename(target)
    shutil.rmtree(work / ".collecting", ignore_errors=True)
