"""What the gradebook holds, read without nbgrader: scores and comments of one homework, as plain data."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

QUERY = """
    SELECT submitted_assignment.student_id, base_cell.name, {columns}
    FROM {table}
    JOIN base_cell ON {table}.cell_id = base_cell.id
    JOIN submitted_notebook ON {table}.notebook_id = submitted_notebook.id
    JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id
    JOIN assignment ON submitted_assignment.assignment_id = assignment.id
    WHERE assignment.name = ?
"""


@dataclass(frozen=True)
class Score:
    """One grade cell of one student. A manual score wins over an automatic one; extra credit is added."""

    auto: float | None
    manual: float | None
    extra: float | None
    needs_manual: bool

    @property
    def points(self) -> float | None:
        """What counts; None when nothing has been given yet."""
        given = self.auto if self.manual is None else self.manual
        return None if given is None else given + (self.extra or 0.0)


def gradebook_path(work: Path) -> Path:
    """The database of the term's tree."""
    return work / "gradebook.db"


def read_scores(work: Path, homework: str) -> dict[str, dict[str, Score]]:
    """Student -> grade cell -> score. Empty when there is no gradebook yet."""
    columns = "grade.auto_score, grade.manual_score, grade.extra_credit, grade.needs_manual_grade"
    scores: dict[str, dict[str, Score]] = {}
    for student, name, auto, manual, extra, needs in _rows(work, QUERY.format(columns=columns, table="grade"), homework):
        scores.setdefault(student, {})[name] = Score(auto, manual, extra, bool(needs))
    return scores


def read_comments(work: Path, homework: str) -> dict[str, dict[str, str]]:
    """Student -> solution cell -> what a grader wrote on it. Automatic comments are left out."""
    found: dict[str, dict[str, str]] = {}
    for student, name, text in _rows(work, QUERY.format(columns="comment.manual_comment", table="comment"), homework):
        if text and text.strip():
            found.setdefault(student, {})[name] = text
    return found


def _rows(work: Path, query: str, homework: str) -> list[tuple]:
    path = gradebook_path(work)
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query, (homework,)).fetchall()
