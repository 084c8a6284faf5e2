"""The course as data: course.toml and each homework's rubric.toml, read once and never changed."""

import os
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"t": "theory", "w": "written", "q": "programming", "e": "experiment", "r": "report"}
MACHINE_GRADED = "tqe"


class CourseError(Exception):
    """course.toml or a rubric is wrong; the message says where and what to do."""


@dataclass(frozen=True)
class Criterion:
    """One line of a written question's rubric: so many points for so much."""

    points: float
    what: str


@dataclass(frozen=True)
class Question:
    """One question of a homework, as rubric.toml has it; `id` is kind, number and subject: q4_masked_conv."""

    id: str
    title: str
    points: float
    minutes: int = 0
    reading: str = ""
    needs: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    key: str = ""
    missed: str = ""

    @property
    def kind(self) -> str:
        """The id's first letter: t, w, q, e or r."""
        return self.id[0]

    @property
    def machine_graded(self) -> bool:
        """Whether hidden checks decide its points (t, q, e) rather than people (w, r)."""
        return self.kind in MACHINE_GRADED

    @property
    def label(self) -> str:
        """How people call it: `Q4 Masked convolution`, `Report`."""
        number = self.id.split("_")[0]
        return self.title if number == "r" else f"{number.upper()} {self.title}"


@dataclass(frozen=True)
class Homework:
    """A homework: where its files are, when it is due, and its questions in notebook order."""

    name: str
    path: Path
    title: str
    questions: tuple[Question, ...]
    released: datetime
    due: datetime

    @property
    def slug(self) -> str:
        return self.path.name

    @property
    def solution(self) -> Path:
        return self.path / "solution.py"

    @property
    def starter(self) -> Path:
        return self.path / f"{self.name}.ipynb"

    @property
    def checks(self) -> Path:
        return self.path / "checks"

    @property
    def heldout(self) -> Path:
        return self.path / "heldout"

    @property
    def checkpoints(self) -> Path:
        """The reference's trained models; staff only."""
        return self.path / "checkpoints"

    @property
    def mutants(self) -> Path:
        return self.path / "mutants"

    @property
    def variants(self) -> Path:
        return self.path / "variants"

    @property
    def machine_graded(self) -> tuple[Question, ...]:
        return tuple(q for q in self.questions if q.machine_graded)

    def question(self, question_id: str) -> Question:
        """The question of that id; CourseError when there is none."""
        for question in self.questions:
            if question.id == question_id:
                return question
        known = ", ".join(q.id for q in self.questions)
        raise CourseError(f"{self.name} has no question {question_id!r}; it has {known}")

    def dependants(self, question_id: str) -> set[str]:
        """Questions that declare, directly or through others, that they need this one."""
        found: set[str] = set()
        while more := {q.id for q in self.questions if set(q.needs) & (found | {question_id})} - found:
            found |= more
        return found


@dataclass(frozen=True)
class Course:
    """The whole course. `work` is the term's tree (nbgrader's folders, verdicts, gradebook), never committed."""

    root: Path
    work: Path
    settings: dict[str, Any]
    homeworks: tuple[Homework, ...]

    @cached_property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.settings["timezone"])

    def homework(self, name: str) -> Homework:
        """The homework of that name; CourseError when there is none."""
        for homework in self.homeworks:
            if homework.name == name:
                return homework
        raise CourseError(f"course.toml has no homework {name!r}; it has {', '.join(h.name for h in self.homeworks)}")


def load_course(root: Path | None = None, work: Path | None = None) -> Course:
    """Read course.toml and the rubrics it names.

    root: the repository (default: the one this file is in). work: the term's tree, default the environment variable
    AUTOGRADER_COURSE or `course/` in the repository. Raises CourseError with the file and the entry that is wrong.
    """
    root = root or ROOT
    settings = _read_toml(root / "course.toml")
    zone = ZoneInfo(settings["timezone"])
    homeworks = tuple(_homework(root, name, table, zone) for name, table in settings["homeworks"].items())
    work = work or Path(os.environ.get("AUTOGRADER_COURSE", root / "course"))
    return Course(root, work.resolve(), settings, homeworks)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} is missing") from None
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{path} is no valid TOML: {error}") from error


def _homework(root: Path, name: str, table: dict[str, Any], zone: ZoneInfo) -> Homework:
    path = root / table["folder"]
    rubric = _read_toml(path / "rubric.toml")
    title = rubric.pop("title")
    questions = tuple(_question(path, key, entry) for key, entry in rubric.items())
    total = sum(q.points for q in questions)
    if total != 100:
        raise CourseError(f"{path / 'rubric.toml'}: points sum to {total}, they must sum to 100")
    known = {q.id for q in questions}
    for question in questions:
        if unknown := set(question.needs) - known:
            raise CourseError(f"{path / 'rubric.toml'}: {question.id} needs unknown questions {sorted(unknown)}")
    released, due = (table[key].replace(tzinfo=zone) for key in ("released", "due"))
    return Homework(name, path, title, questions, released, due)


def _question(path: Path, key: str, entry: dict[str, Any]) -> Question:
    where = f"{path / 'rubric.toml'}, [{key}]"
    if not isinstance(entry, dict) or key[0] not in KINDS:
        raise CourseError(f"{where}: expected a table named like q4_masked_conv (kinds: {', '.join(KINDS)})")
    entry = dict(entry)
    criteria = tuple(Criterion(**c) for c in entry.pop("criteria", ()))
    needs = tuple(entry.pop("needs", ()))
    try:
        question = Question(id=key, criteria=criteria, needs=needs, **entry)
    except TypeError as error:
        raise CourseError(f"{where}: {error}") from error
    if not question.machine_graded and sum(c.points for c in criteria) != question.points:
        raise CourseError(f"{where}: the criteria's points do not sum to {question.points}")
    return question
