"""Phase 2: verdicts into nbgrader's gradebook, by nbgrader's own autograde without Execute, one submission at a time.

All submissions go through one process, because nbgrader takes seconds to import.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from autograder.checking.keys import tree_hash
from autograder.checking.verdicts import Verdict
from autograder.course import ROOT, Course, CourseError, Homework
from autograder.grade import submitted_students
from autograder.gradebook.book import ask_for_review, back_up, keep_reviews, set_up
from autograder.gradebook.prepare import key_of, prepare
from autograder.gradebook.preprocessors import MissingResult, clipped, result_of
from autograder.grading.lock import only_one
from autograder.grading.records import Records
from autograder.grading.scores import Score, read_scores
from autograder.nbgrader_config import nbgrader_config, write_config
from autograder.submission import read_submission

Progress = Callable[[int, int, str], None]


@dataclass
class GradebookReport:
    """What became of each student. waiting: no score was written, and why; a person must look."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    backup: Path | None = None


def write_gradebook(
    course: Course, homework: Homework, students: Iterable[str] | None = None, progress: Progress | None = None
) -> GradebookReport:
    """Bring gradebook.db up to date with the verdicts; manual scores and comments stay.

    students: default all that handed in. What is up to date is left alone. One submission that fails is named in the
    report and stops nobody else. Raises CourseError when ids or points changed after the first submission, and when
    another run is at work.
    """
    report = GradebookReport()
    wanted = submitted_students(course, homework) if students is None else sorted(set(students))
    with only_one(course.work / "verdicts"):
        run = _Run(course, homework, report)
        for done, student in enumerate(wanted, 1):
            run.one(student)
            if progress is not None:
                progress(done, len(wanted), student)
    return report


class _Run:
    """One run over a homework: what is read once, and the steps for one student."""

    def __init__(self, course: Course, homework: Homework, report: GradebookReport) -> None:
        self.course, self.homework, self.report = course, homework, report
        self.work = course.work
        self.records = Records(course.work, homework)
        self.release = _release(homework)
        self.report.backup = back_up(self.work)
        set_up(self.work, homework, self.release)
        write_config(course)
        self.scores = read_scores(self.work, homework.name)
        self.config = nbgrader_config(course)

    def one(self, student: str) -> None:
        """Bring one student up to date and note in the report what happened."""
        try:
            verdict = self._verdict(student)
            key = _key(self.work / "submitted" / student / self.homework.name, verdict)
            if key_of(self._autograded(student)) == key and self._agrees(student, verdict):
                self.report.unchanged.append(student)
                return
            self._grade(student, verdict, key)
        except MissingResult as error:
            self.report.waiting[student] = str(error)
        except Exception as error:  # one submission never stops the class
            self.report.waiting[student] = f"nbgrader could not take it: {error}"
        else:
            self.report.written.append(student)

    def _verdict(self, student: str) -> Verdict:
        verdict = self.records.read(student)
        if verdict is None:
            raise MissingResult(f"not graded yet: run `autograder grade {self.homework.name}`")
        for question in self.homework.machine_graded:
            result_of(verdict, question.id)
        return verdict

    def _grade(self, student: str, verdict: Verdict, key: str) -> None:
        answers = _answers(self._autograded(student))
        submission = read_submission(self.work / "submitted" / student / self.homework.name, self.homework, self.release)
        prepare(self.work, self.homework, student, submission, self.release, key)
        autograde(self.course, self.homework, student, self.config)
        now = read_scores(self.work, self.homework.name).get(student, {})
        before = self.scores.get(student, {})
        same = _same(self.homework, answers, _answers(self._autograded(student)), before, now)
        keep_reviews(self.work, self.homework, student, before, same)
        if submission.notebook is None:
            ask_for_review(self.work, self.homework, student)

    def _autograded(self, student: str) -> Path:
        return self.work / "autograded" / student / self.homework.name / f"{self.homework.name}.ipynb"

    def _agrees(self, student: str, verdict: Verdict) -> bool:
        """Whether the gradebook holds the verdict's points; it may have been put back from a backup."""
        scores = self.scores.get(student, {})
        wanted = {q.id: clipped(verdict.questions[q.id].points, q.points) for q in self.homework.machine_graded}
        return all(name in scores and scores[name].auto == points for name, points in wanted.items())


def autograde(course: Course, homework: Homework, student: str, config: Config | None = None) -> None:
    """nbgrader's autograde of one prepared submission. Raises CourseError with what nbgrader logged."""
    log = logging.getLogger("autograder.nbgrader")
    log.propagate = False
    kept = _Kept()
    log.handlers = [kept]
    config = config or nbgrader_config(course)
    folder = CourseDirectory(config=config, log=log)
    folder.assignment_id, folder.student_id = homework.name, student
    converter = Autograde(coursedir=folder, config=config, log=log)
    converter.force = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own use of its database; nobody here can act on it
            converter.start()
    except Exception as error:
        raise CourseError(kept.last or str(error)) from error


class _Kept(logging.Handler):
    """Keeps the last line of the first error, which names the cause; what follows only says that there was one."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and "Traceback" in record.getMessage() and not self.last:
            self.last = record.getMessage().strip().splitlines()[-1]


def _release(homework: Homework) -> NotebookNode:
    if not homework.starter.is_file():
        raise CourseError(f"{homework.starter} is missing: run `autograder build`")
    return nbformat.read(homework.starter, as_version=4)


def _key(folder: Path, verdict: Verdict) -> str:
    """What a student's entry in the gradebook depends on, hashed."""
    parts = [tree_hash(folder), verdict.to_json(), *_code()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _code() -> tuple[str, ...]:
    return tuple(tree_hash(ROOT / "autograder" / name) for name in ("gradebook", "submission", "feedback"))


def _answers(notebook: Path) -> dict[str, str]:
    """The text of each solution cell of an autograded notebook; empty when there is none."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return {}
    marked = [(cell["metadata"]["nbgrader"], cell["source"]) for cell in cells if "nbgrader" in cell.get("metadata", {})]
    return {data["grade_id"]: "".join(source) for data, source in marked if data.get("solution")}


def _same(
    homework: Homework, before: dict[str, str], after: dict[str, str], old: dict[str, Score], new: dict[str, Score]
) -> set[str]:
    """Questions whose answer and automatic score are what they were."""
    cell = {q.id: f"{q.id}-answer" if q.machine_graded else q.id for q in homework.questions}
    answered = {name for name, source in cell.items() if source in before and before[source] == after.get(source)}
    return {name for name in answered if name in old and name in new and old[name].auto == new[name].auto}
