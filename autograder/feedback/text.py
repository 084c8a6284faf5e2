"""A question's result as plain text: for nbgrader's comments, for terminals and for mail."""

from autograder.checking.verdicts import CheckResult, Outcome, QuestionResult
from autograder.course import Question

WORDS = {
    Outcome.OK: "passed",
    Outcome.FAILED: "failed",
    Outcome.STUDENT_ERROR: "error",
    Outcome.TIMEOUT: "too slow",
    Outcome.MEMORY: "too much memory",
    Outcome.CRASH: "crashed",
    Outcome.FLOOD: "too much output",
    Outcome.PROTOCOL: "broken answer",
    Outcome.SKIPPED: "skipped",
    Outcome.INFRA_ERROR: "not graded yet",
}


def number(value: float) -> str:
    """A score as people write it: 5, 4.5, 3.33."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def check_name(check: CheckResult) -> str:
    """The check's name, with its case where it has several."""
    return f"{check.name} ({check.case})" if check.case else check.name


def question_text(question: Question, result: QuestionResult) -> str:
    """The question's points, each check with how it ended, what failed, and where to read."""
    head = f"{question.label:<66} {number(result.points):>5} / {number(question.points)}"
    width = max(map(len, WORDS.values()))
    lines = [head]
    for check in result.checks:
        lines.append(f"  {WORDS[check.verdict]:<{width}}  {check_name(check)}")
        if check.sentence and check.verdict is not Outcome.OK:
            lines.append(f"  {'':<{width}}  {check.sentence}")
    if question.reading and any(check.verdict is not Outcome.OK for check in result.checks):
        lines.append(f"  {'':<{width}}  read: {question.reading}")
    return "\n".join(lines)
