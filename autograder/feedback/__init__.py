"""What students read, and the class table that staff read.

<work>/feedback/<student>/<homework>/feedback.html, and <work>/reports/<homework>/class.csv and overview.html.
"""

from collections.abc import Iterable
from pathlib import Path

from autograder.course import Course, Homework
from autograder.feedback.marks import class_marks
from autograder.feedback.pages import feedback_page, overview_page
from autograder.feedback.statistics import class_figures
from autograder.feedback.table import class_csv, class_table
from autograder.grading.records import write_atomically

__all__ = ["class_csv", "class_marks", "class_table", "write_feedback"]


def write_feedback(course: Course, homework: Homework, students: Iterable[str] | None = None) -> list[Path]:
    """Write the feedback pages of everyone with a verdict (or of `students`), and the class table; the pages' paths.

    The table always covers the whole class. A file that is as it should be is left alone.
    """
    everyone = class_marks(course, homework)
    wanted = None if students is None else set(students)
    pages = []
    for marks in everyone:
        if wanted is None or marks.student in wanted:
            path = feedback_path(course, homework, marks.student)
            _write(path, feedback_page(course, homework, marks))
            pages.append(path)
    reports = course.work / "reports" / homework.name
    _write(reports / "class.csv", class_csv(homework, everyone))
    _write(reports / "overview.html", overview_page(course, homework, everyone, class_figures(homework, everyone)))
    return pages


def feedback_path(course: Course, homework: Homework, student: str) -> Path:
    """Where a student's page lies."""
    return course.work / "feedback" / student / homework.name / "feedback.html"


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
