"""Pack submissions as Blackboard's "Assignment File Download" does: one zip, flat, real file names, a text per attempt."""

import io
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

from autograder.collect.names import BlackboardName
from autograder.course import Course, Homework
from autograder.demo.classroom import Files, Handed

TEXT = """Name: {user} ({user})
Assignment: {column}
Date Submitted: {date}
Current Grade: Needs Grading

Submission Field:
There is no student submission text data for this assignment.

Comments:
There are no student comments for this assignment.

Files:
\tOriginal filename: {file}
\tFilename: {name}
"""


def pack(course: Course, homework: Homework, handed: list[Handed], path: Path) -> Path:
    """Write the zip; every submission travels in it as a zip of its own, as the hand-in tool makes them."""
    column = homework.name.upper()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for one in handed:
            last = (homework.due - one.early).astimezone(course.timezone)
            attempts = (*one.earlier_attempts, one.files)
            for number, files in enumerate(attempts):
                when = last - timedelta(hours=3 * (len(attempts) - 1 - number))
                _add_attempt(archive, column, one.user, when.replace(tzinfo=None, microsecond=0), files, homework.name)
    return path


def _add_attempt(archive: zipfile.ZipFile, column: str, user: str, when: datetime, files: Files, homework: str) -> None:
    file = f"{homework}_{user}.zip"
    name = BlackboardName(column, user, when, file)
    archive.writestr(str(name), _zip(files))
    date = when.strftime("%A, %d %B %Y %H:%M:%S o'clock KST")
    text = TEXT.format(user=user, column=column, date=date, file=file, name=name)
    archive.writestr(str(BlackboardName(column, user, when, None)), text)


def _zip(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
