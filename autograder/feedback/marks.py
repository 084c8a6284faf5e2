"""A student's marks: verdict and gradebook together, question by question. Everything shown to people comes from here."""

from dataclasses import dataclass
from datetime import datetime

from autograder.checking.verdicts import QuestionResult, Verdict
from autograder.collect.names import read_timestamp
from autograder.course import Course, Homework, Question
from autograder.grading.records import Records
from autograder.grading.scores import Score, read_comments, read_scores


@dataclass(frozen=True)
class Mark:
    """One question of one student. points: None until it is marked. overruled: the checks' points that a person replaced."""

    question: Question
    points: float | None
    result: QuestionResult | None = None
    comment: str = ""
    overruled: float | None = None

    @property
    def state(self) -> str:
        """full, part, none, or waiting."""
        if self.points is None:
            return "waiting"
        return "full" if self.points >= self.question.points else "part" if self.points > 0 else "none"


@dataclass(frozen=True)
class StudentMarks:
    """All marks of one student's submission. submitted: None when the time is not known."""

    student: str
    marks: tuple[Mark, ...]
    submitted: datetime | None
    graded: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """The sum of what has been marked so far."""
        return round(sum(mark.points or 0.0 for mark in self.marks), 2)

    @property
    def possible(self) -> float:
        """What the questions that have been marked so far give at most."""
        return sum(mark.question.points for mark in self.marks if mark.points is not None)

    @property
    def waiting(self) -> tuple[Mark, ...]:
        """Questions without points so far."""
        return tuple(mark for mark in self.marks if mark.points is None)


def class_marks(course: Course, homework: Homework) -> list[StudentMarks]:
    """The marks of everyone who has a verdict, by student id."""
    records = Records(course.work, homework)
    scores, comments = read_scores(course.work, homework.name), read_comments(course.work, homework.name)
    found = []
    for student in sorted(path.stem for path in records.folder.glob("*.json")):
        verdict = records.read(student)
        if verdict is not None:
            marks = tuple(
                _mark(question, verdict, scores.get(student, {}), comments.get(student, {}))
                for question in homework.questions
            )
            submitted = _submitted(course, homework, student)
            found.append(StudentMarks(student, marks, submitted, verdict.created, verdict.notes, verdict.problems))
    return found


def _mark(question: Question, verdict: Verdict, scores: dict[str, Score], comments: dict[str, str]) -> Mark:
    score = scores.get(question.id)
    comment = comments.get(f"{question.id}-answer") or comments.get(question.id, "")
    if not question.machine_graded:
        settled = score is not None and not score.needs_manual
        return Mark(question, score.points if settled else None, comment=comment)
    result = verdict.questions.get(question.id)
    by_checks = None if result is None or result.infra_errors or not result.checks else result.points
    if score is not None and score.manual is not None:
        return Mark(question, score.points, result, comment, by_checks)
    extra = (score.extra or 0.0) if score is not None else 0.0
    return Mark(question, None if by_checks is None else by_checks + extra, result, comment)


def _submitted(course: Course, homework: Homework, student: str) -> datetime | None:
    """When it was handed in, in the course's time."""
    path = course.work / "submitted" / student / homework.name / "timestamp.txt"
    try:
        return read_timestamp(path.read_text(encoding="utf-8")).astimezone(course.timezone)
    except (OSError, ValueError):
        return None
