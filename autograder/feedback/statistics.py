"""Figures of a class: how each question went, which checks fail most, how the totals are spread."""

from collections import Counter
from dataclasses import dataclass

from autograder.checking.verdicts import Outcome
from autograder.course import Homework, Question
from autograder.feedback.marks import StudentMarks
from autograder.feedback.text import check_name

BINS = 10


@dataclass(frozen=True)
class QuestionFigures:
    """One question over the class. mean: share of its points, 0 to 1, of those marked; None when nobody is."""

    question: Question
    marked: int
    full: int
    mean: float | None


@dataclass(frozen=True)
class ClassFigures:
    """A class at a glance. spread: number of students in each tenth of the points marked so far."""

    students: int
    questions: tuple[QuestionFigures, ...]
    failing: tuple[tuple[Question, str, int], ...]
    spread: tuple[int, ...]
    mean: float | None


def class_figures(homework: Homework, everyone: list[StudentMarks], most: int = 12) -> ClassFigures:
    """Figures over all students; `most`: how many of the checks that fail most are named."""
    questions = tuple(_question(number, question, everyone) for number, question in enumerate(homework.questions))
    shares = [marks.points / marks.possible for marks in everyone if marks.possible]
    counts = Counter(min(int(max(share, 0.0) * BINS), BINS - 1) for share in shares)
    mean = sum(shares) / len(shares) if shares else None
    return ClassFigures(len(everyone), questions, _failing(everyone, most), tuple(counts[b] for b in range(BINS)), mean)


def _question(number: int, question: Question, everyone: list[StudentMarks]) -> QuestionFigures:
    points = [marks.marks[number].points for marks in everyone if marks.marks[number].points is not None]
    mean = sum(points) / len(points) / question.points if points and question.points else None
    return QuestionFigures(question, len(points), sum(p >= question.points for p in points), mean)


def _failing(everyone: list[StudentMarks], most: int) -> tuple[tuple[Question, str, int], ...]:
    counts: Counter[tuple[str, str]] = Counter()
    questions = {}
    for mark in (mark for marks in everyone for mark in marks.marks if mark.result is not None):
        questions[mark.question.id] = mark.question
        wrong = (check for check in mark.result.checks if check.verdict not in (Outcome.OK, Outcome.INFRA_ERROR))
        counts.update((mark.question.id, check_name(check)) for check in wrong)
    return tuple((questions[name], check, count) for (name, check), count in counts.most_common(most))
