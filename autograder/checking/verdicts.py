"""What a check found, for one submission: plain data, written as JSON and read back."""

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

SCHEMA = 1


class Outcome(StrEnum):
    """How one check ended."""

    OK = "OK"
    FAILED = "FAILED"
    STUDENT_ERROR = "STUDENT_ERROR"
    TIMEOUT = "TIMEOUT"
    MEMORY = "MEMORY"
    CRASH = "CRASH"
    FLOOD = "FLOOD"
    PROTOCOL = "PROTOCOL"
    SKIPPED = "SKIPPED"
    INFRA_ERROR = "INFRA_ERROR"  # the grader's own fault: never a zero, a person decides


@dataclass(frozen=True)
class CheckResult:
    """One check, or one case of a parametrised check. `detail` is for staff only."""

    name: str
    case: str
    weight: float
    verdict: Outcome
    sentence: str = ""
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class QuestionResult:
    """A question's checks and the points that they earn, between 0 and max_points. seed: of the run that graded it."""

    max_points: float
    checks: tuple[CheckResult, ...]
    seed: str = ""

    @property
    def points(self) -> float:
        """max_points times the share of the weight that passed, rounded to hundredths; 0 without checks."""
        whole = sum(check.weight for check in self.checks)
        passed = sum(check.weight for check in self.checks if check.verdict is Outcome.OK)
        return round(self.max_points * passed / whole, 2) if whole else 0.0

    @property
    def infra_errors(self) -> int:
        return sum(check.verdict is Outcome.INFRA_ERROR for check in self.checks)


@dataclass(frozen=True)
class Verdict:
    """The checks' findings on one submission.

    key: hash of submission, checks and environment. seed: the secret seed of the last run (hex), logged for appeals; where
    some questions were graded again, each question has its own.
    submission: hash of the files handed in. jail: back end and its guarantees. notes: what was repaired.
    problems: what a person must look at.
    """

    homework: str
    key: str
    seed: str
    created: str
    jail: dict[str, Any]
    questions: dict[str, QuestionResult]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    submission: str = ""
    schema: int = field(default=SCHEMA)

    @property
    def points(self) -> float:
        return round(sum(q.points for q in self.questions.values()), 2)

    @property
    def infra_errors(self) -> int:
        return sum(q.infra_errors for q in self.questions.values())

    def merged(self, newer: "Verdict") -> "Verdict":
        """This verdict with the questions that `newer` graded again replaced by it."""
        return replace(newer, questions={**self.questions, **newer.questions})

    def to_json(self) -> str:
        """JSON, with each question's points beside its checks for people who read the file."""
        data = asdict(self)
        for question_id, question in self.questions.items():
            data["questions"][question_id]["points"] = question.points
        return json.dumps(data, indent=1, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> "Verdict":
        """Read what `to_json` wrote; ValueError when it is something else or of another schema."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"not a verdict of schema {SCHEMA}")
        questions = {key: _question(entry) for key, entry in data.pop("questions").items()}
        notes, problems = tuple(data.pop("notes")), tuple(data.pop("problems"))
        return Verdict(questions=questions, notes=notes, problems=problems, **data)


def _question(entry: dict[str, Any]) -> QuestionResult:
    checks = tuple(CheckResult(**{**check, "verdict": Outcome(check["verdict"])}) for check in entry["checks"])
    return QuestionResult(entry["max_points"], checks, entry["seed"])
