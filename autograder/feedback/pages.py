"""HTML of the pages: one file each, no scripts, nothing loaded from elsewhere, all that varies escaped."""

import re
from functools import cache
from pathlib import Path

import jinja2

from autograder.checking.verdicts import Outcome
from autograder.course import Course, Homework
from autograder.feedback.marks import StudentMarks
from autograder.feedback.statistics import ClassFigures
from autograder.feedback.text import WORDS, check_name, number

TEMPLATES = Path(__file__).parent / "templates"
# Control characters, and the marks that make text run backwards over what stands beside it.
INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text without characters that act on a reader's screen."""
    return INVISIBLE.sub("", text)


def feedback_page(course: Course, homework: Homework, marks: StudentMarks) -> str:
    """What one student reads: points, checks, sentences and comments. Never seeds, check sources or anyone else."""
    return _environment().get_template("feedback.html").render(course=course.settings, homework=homework, student=marks)


def overview_page(course: Course, homework: Homework, everyone: list[StudentMarks], figures: ClassFigures) -> str:
    """What staff read: figures of the class, who waits for a person, and a row for each student with a link."""
    page = _environment().get_template("overview.html")
    return page.render(course=course.settings, homework=homework, everyone=everyone, figures=figures)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )  # fmt: skip
    environment.filters |= {"number": number, "check_name": check_name, "moment": _moment}
    environment.globals |= {"WORDS": WORDS, "OK": Outcome.OK, "INFRA": Outcome.INFRA_ERROR}
    return environment


def _moment(time) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
