"""The class as a table: CSV for spreadsheets, rich for the terminal."""

import csv
import io

from rich.table import Table

from autograder.course import Homework
from autograder.feedback.marks import StudentMarks
from autograder.feedback.pages import visible
from autograder.feedback.text import number


def class_csv(homework: Homework, everyone: list[StudentMarks]) -> str:
    """One row a student: id, time, points of each question (empty until marked), sum, what waits, what stood out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [question.id for question in homework.questions]
    writer.writerow(["student", "submitted", *names, "points", "possible so far", "waiting", "problems", "notes"])
    for marks in everyone:
        points = ["" if mark.points is None else number(mark.points) for mark in marks.marks]
        waiting = " ".join(mark.question.id for mark in marks.waiting)
        said = [_cell("; ".join(sentences)) for sentences in (marks.problems, marks.notes)]
        when = marks.submitted.isoformat(timespec="seconds") if marks.submitted else ""
        writer.writerow([_cell(marks.student), when, *points, number(marks.points), number(marks.possible), waiting, *said])
    return text.getvalue()


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = visible(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def class_table(everyone: list[StudentMarks]) -> Table:
    """A table for the terminal: points so far, what waits for a person, what stood out."""
    table = Table("student", "points", "waiting", "what stood out", title=f"{len(everyone)} students")
    for marks in everyone:
        remarks = "; ".join((*marks.problems, *marks.notes))
        points = f"{number(marks.points)} / {number(marks.possible)}"
        waiting = " ".join(mark.question.id.split("_")[0] for mark in marks.waiting)
        table.add_row(*(_literal(text) for text in (marks.student, points, waiting, remarks[:160])))
    return table


def _literal(text: str) -> str:
    """Text that rich shows as it is."""
    return visible(text).replace("[", r"\[")
