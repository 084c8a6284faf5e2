"""gradebook.db as a file and as nbgrader's API sees it: backup, the assignment, and state that autograding must keep."""

import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import nbgrader
from alembic.script import ScriptDirectory
from nbformat import NotebookNode
from nbgrader.api import Base, Gradebook, MissingEntry
from nbgrader.preprocessors import SaveCells
from sqlalchemy import create_engine, text

from autograder.course import CourseError, Homework
from autograder.grading.scores import Score, gradebook_path

KEPT_BACKUPS = 30


def database_url(work: Path) -> str:
    return f"sqlite:///{gradebook_path(work)}"


def back_up(work: Path) -> Path | None:
    """Copy the gradebook to <work>/backups/, consistent even while someone writes; None when there is none yet."""
    source = gradebook_path(work)
    if not source.exists():
        return None
    target = work / "backups" / f"gradebook-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.db"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".partial")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(temporary)) as new:
        old.backup(new)
    temporary.rename(target)
    for surplus in sorted(target.parent.glob("gradebook-*.db"))[:-KEPT_BACKUPS]:
        surplus.unlink()
    return target


def set_up(work: Path, homework: Homework, release: NotebookNode) -> None:
    """Record the assignment, its due date and its cells. Raises CourseError when they changed after submissions came."""
    work.mkdir(parents=True, exist_ok=True)
    _create(gradebook_path(work))
    with Gradebook(database_url(work)) as book:
        _require_unchanged(book, homework, release)
        book.update_or_create_assignment(homework.name, duedate=homework.due)
    about = {"notebook": homework.name, "assignment": homework.name, "db_url": database_url(work)}
    SaveCells().preprocess(release, {"nbgrader": about})


def _create(path: Path) -> None:
    """An empty gradebook. nbgrader itself would start the command `alembic`, which takes seconds and may not be found."""
    if path.exists():
        return
    temporary = path.with_suffix(".partial")
    temporary.unlink(missing_ok=True)
    engine = create_engine(f"sqlite:///{temporary}")
    version = ScriptDirectory(str(Path(nbgrader.__file__).parent / "alembic")).get_current_head()
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:version)"), {"version": version})
    engine.dispose()
    temporary.rename(path)


def _require_unchanged(book: Gradebook, homework: Homework, release: NotebookNode) -> None:
    try:
        notebook = book.find_notebook(homework.name, homework.name)
    except MissingEntry:
        return
    before = {cell.name: cell.max_score for cell in notebook.grade_cells}
    marked = [cell.metadata.nbgrader for cell in release.cells if "nbgrader" in cell.metadata]
    now = {data.grade_id: float(data.points) for data in marked if data.grade}
    if notebook.submissions and before != now:
        names = ", ".join(sorted({*dict(before.items() ^ now.items())}))
        raise CourseError(f"the gradebook has submissions of {homework.name}; ids and points must stay as they were: {names}")


def keep_reviews(work: Path, homework: Homework, student: str, before: dict[str, Score], same: set[str]) -> None:
    """Leave alone what a person has finished: nbgrader asks to review every manual score after each autograde.

    before: scores from before this run. same: questions whose answer and automatic score have not changed.
    """
    with Gradebook(database_url(work)) as book:
        for name, score in before.items():
            if name in same and score.manual is not None and not score.needs_manual:
                with suppress(MissingEntry):
                    book.find_grade(name, homework.name, homework.name, student).needs_manual_grade = False
        book.db.commit()


def ask_for_review(work: Path, homework: Homework, student: str) -> None:
    """Mark every score of a submission that no manual score settles: a person must look at it."""
    with Gradebook(database_url(work)) as book:
        for grade in book.find_submission_notebook(homework.name, homework.name, student).grades:
            if grade.manual_score is None:
                grade.needs_manual_grade = True
        book.db.commit()
