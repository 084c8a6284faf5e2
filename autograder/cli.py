"""`autograder`: one command for authors, TAs and instructors. Each subcommand is a thin shell around one function."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from autograder.course import CourseError, load_course

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_show_locals=False, add_completion=False)
console = Console()
HomeworkName = Annotated[str, typer.Argument(help="homework, as course.toml names it: hw1")]


def progress_bar(what: str) -> Progress:
    """Progress with count and time left."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=console, transient=True)


def _advance(bar: Progress, task: TaskID, done: int, total: int, what: str, *_: object) -> None:
    bar.update(task, completed=done, total=total, description=what)


@app.command()
def build(check: Annotated[bool, typer.Option("--check", help="change nothing; fail when something is out of step")] = False):
    """Generate starters, question tables and requirements from the sources."""
    from autograder import build as builder

    course = load_course()
    if not check:
        for path in builder.build(course):
            console.print(f"wrote {path.relative_to(course.root)}")
        return
    stale = builder.out_of_step(course)
    for sentence in stale:
        console.print(sentence)
    if stale:
        raise typer.Exit(1)
    console.print("everything generated is in step with its source")


@app.command()
def release(
    homework: HomeworkName, out: Annotated[Path, typer.Option(help="folder for the student bundle")] = Path("dist")
):
    """Write the student bundle, and nbgrader's source and release; refuse when anything would leak."""
    from autograder import build as builder

    course = load_course()
    console.print(f"released {builder.release(course, course.homework(homework), out)}")


@app.command()
def collect(homework: HomeworkName, path: Annotated[Path, typer.Argument(help="Blackboard's zip, or a folder")]):
    """Take submissions in: newest attempt of each student, extracted safely."""
    from autograder.collect import collect as collect_

    course = load_course()
    console.print(collect_(course, course.homework(homework), path).text)


@app.command()
def audit(
    homework: HomeworkName,
    question: Annotated[str | None, typer.Option(help="only this question, its mutants and variants")] = None,
    seeds: Annotated[int, typer.Option(help="how often the reference is graded with fresh inputs")] = 5,
    jobs: Annotated[int | None, typer.Option(help="processes (default: one per core)")] = None,
):
    """Try the hidden checks on reference, starter, mutants, variants and trivial answers."""
    from autograder.audit import audit as audit_

    with progress_bar("audit") as bar:
        step = partial(_advance, bar, bar.add_task("", total=None))
        found = audit_(load_course().homework(homework), question, seeds, jobs, step)
    for fault in found.faults:
        console.print(fault, markup=False, soft_wrap=True)
    console.print(found.line, markup=False, highlight=False, soft_wrap=True)
    if found.faults:
        raise typer.Exit(1)


@app.command()
def grade(
    homework: HomeworkName,
    student: Annotated[list[str] | None, typer.Option(help="only these students")] = None,
    question: Annotated[list[str] | None, typer.Option(help="only these questions, changed or not")] = None,
    jobs: Annotated[int | None, typer.Option(help="processes (default: one per core)")] = None,
    backend: Annotated[str, typer.Option(help="bubblewrap; inprocess gives no protection")] = "bubblewrap",
):
    """Grade a class: hidden checks in the jail, then nbgrader's gradebook, then feedback. Grades only what changed."""
    from autograder.feedback import write_feedback
    from autograder.grade import grade as check_class
    from autograder.gradebook import write_gradebook

    course = load_course()
    which = course.homework(homework)
    with progress_bar("checks") as bar:
        step = partial(_advance, bar, bar.add_task("", total=None))
        grading = check_class(course, which, student, question, jobs, step, backend)
    with progress_bar("gradebook") as bar:
        step = partial(_advance, bar, bar.add_task("", total=None))
        report = write_gradebook(course, which, student, step)
    write_feedback(course, which, student)
    console.print(f"{len(grading.graded)} checked, {len(grading.verdicts) - len(grading.graded)} unchanged, "
                  f"{len(report.written)} written to {course.work / 'gradebook.db'}", soft_wrap=True)  # fmt: skip
    waiting = dict.fromkeys(grading.infra, "the grader failed twice; see the verdict file") | report.waiting
    for name, why in waiting.items():
        console.print(f"{name} waits for a person: {why}", markup=False, soft_wrap=True)


@app.command()
def solutions(
    homework: Annotated[str | None, typer.Argument(help="homework (default: all)")] = None,
    out: Annotated[Path, typer.Option(help="folder for the HTML files")] = Path("solutions"),
):
    """Execute reference notebooks (preset from PRESET, default small) into HTML, and keep their checkpoints."""
    from autograder.build.execute import execute

    course = load_course()
    for which in course.homeworks if homework is None else [course.homework(homework)]:
        with progress_bar(which.name) as bar:
            path = execute(which, out, partial(_advance, bar, bar.add_task("", total=None)))
        console.print(f"{path}", soft_wrap=True)


@app.command()
def demo(folder: Annotated[Path, typer.Option(help="emptied first")] = Path("build/demo")):
    """Play HW1 through on a made-up class: build, release, hand in, collect, grade, feed back."""
    from autograder.demo import run

    run(console, folder.resolve())


def main() -> None:
    """Run the command line; errors of use are one sentence, not a traceback."""
    try:
        app()
    except CourseError as error:
        console.print(f"[red]{error}[/red]")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
