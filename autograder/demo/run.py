"""The demo: every step of the real path, on a class that is made up, with nothing faked."""

import shutil
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from autograder.build import out_of_step, reference_notebook, release
from autograder.checking.run import released
from autograder.collect import collect
from autograder.course import Course, Homework, load_course
from autograder.demo.blackboard import pack
from autograder.demo.classroom import Handed, Material, classroom
from autograder.feedback import write_feedback
from autograder.grade import Grading, grade
from autograder.gradebook import write_gradebook


def run(console: Console, folder: Path) -> None:
    """Play one homework through, from source to a graded class, below `folder`, which is emptied first."""
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    course = load_course(work=folder / "course")
    homework = course.homework("hw1")
    steps = _Steps(console, 6)

    steps("build: starters are what their sources build")
    for sentence in out_of_step(course):
        console.print(f"  {sentence}")
    steps("release: the student bundle, behind the leak gate")
    console.print(f"  {release(course, homework, folder / 'dist')}")

    steps("a class of thirty hands in on Blackboard (made up)")
    material = Material(homework, reference_notebook(homework), released(homework))
    handed = classroom(material)
    archive = pack(course, homework, handed, folder / f"gradebook_{homework.name.upper()}.zip")
    console.print(f"  {archive}: {archive.stat().st_size / 1e6:.0f} MB, {len(handed)} students")

    steps("collect: newest attempts, extracted safely")
    console.print("  " + collect(course, homework, archive).text.replace("\n", "\n  "), markup=False)

    steps("grade: hidden checks in the jail, two phases")
    grading = _grade(console, course, homework)

    steps("feedback: a page per student, a table of the class")
    written = write_feedback(course, homework)
    console.print(_table(handed, grading))
    console.print(f"Done in {time.monotonic() - started:.0f} s. Where to look:")
    for what, path in _places(folder, course, homework):
        console.print(f"  {what:<28} {path}", soft_wrap=True)
    console.print(f"  ({len(written)} feedback pages)")


def _grade(console: Console, course: Course, homework: Homework) -> Grading:
    begun = time.monotonic()
    grading = grade(course, homework)
    checked = time.monotonic()
    report = write_gradebook(course, homework)
    console.print(f"  {len(grading.graded)} submissions checked in {checked - begun:.0f} s, "
                  f"{len(report.written)} written to the gradebook in {time.monotonic() - checked:.0f} s")  # fmt: skip
    for student, why in report.waiting.items():
        console.print(f"  {student} waits for a person: {why}", markup=False)
    return grading


class _Steps:
    """Numbered headings."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total, self._done = console, total, 0

    def __call__(self, what: str) -> None:
        self._done += 1
        self._console.print(f"[bold]{self._done}/{self._total}[/bold] {what}")


def _table(handed: list[Handed], grading: Grading) -> Table:
    table = Table("student", "handed in", "points by machine", "what stood out")
    for one in handed:
        verdict = grading.verdicts.get(one.user)
        if verdict is None:
            table.add_row(one.user, one.what, "-", "not collected")
            continue
        whole = sum(question.max_points for question in verdict.questions.values())
        remarks = (*verdict.problems, *verdict.notes)
        table.add_row(one.user, one.what, f"{verdict.points:g} / {whole:g}", "; ".join(remarks)[:160])
    return table


def _places(folder: Path, course: Course, homework: Homework) -> list[tuple[str, Path]]:
    work = course.work
    return [
        ("student bundle", folder / "dist"),
        ("class table", work / "reports" / homework.name),
        ("feedback of one student", work / "feedback" / "oh_eunbi" / homework.name / "feedback.html"),
        ("verdict of one student", work / "verdicts" / homework.name / "oh_eunbi.json"),
        ("nbgrader's gradebook", work / "gradebook.db"),
    ]
