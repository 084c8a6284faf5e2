"""The question table: points and expected time of each question, written once in rubric.toml and shown everywhere."""

from nbformat import NotebookNode

from autograder.build.regions import BuildError
from autograder.course import Homework

BEGIN, END = "<!-- questions -->", "<!-- /questions -->"


def question_table(homework: Homework) -> str:
    """A Markdown table with one row per question in notebook order, and the totals."""
    rows = [f"| {q.label} | `{q.id}` | {q.points:g} | {_minutes(q.minutes)} |" for q in homework.questions]
    points = sum(q.points for q in homework.questions)
    hours = sum(q.minutes for q in homework.questions) / 60
    total = f"| **Total** | | **{points:g}** | **about {max(1, round(hours))} h** |"
    return "\n".join(["| question | id | points | time |", "|---|---|---|---|", *rows, total])


def insert_question_table(cells: list[NotebookNode], homework: Homework) -> None:
    """Put the table where the source's prose says `<!-- questions -->`, else at the end of the opening cell."""
    prose = [cell for cell in cells if cell.cell_type == "markdown" and "nbgrader" not in cell.metadata]
    if not prose:
        raise BuildError(f"{homework.solution}: the notebook must open with a markdown cell")
    table = question_table(homework)
    marked = [cell for cell in prose if BEGIN in cell.source]
    if len(marked) > 1 or (marked and marked[0].source.count(BEGIN) > 1):
        raise BuildError(f"{homework.solution}: {BEGIN} stands more than once")
    if marked:
        marked[0].source = marked[0].source.replace(BEGIN, table)
    else:
        prose[0].source = f"{prose[0].source}\n\n{table}"


def readme_with_table(homework: Homework) -> str:
    """The homework's README.md with the table between its two markers brought up to date. Raises BuildError."""
    path = homework.path / "README.md"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BuildError(f"{path} is missing: it holds goals, question table, time and hardware, reading") from None
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BuildError(f"{path}: write {BEGIN} and {END} once each, where the question table shall stand")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{question_table(homework)}\n{END}{rest.split(END)[1]}"


def _minutes(minutes: int) -> str:
    return f"{minutes} min" if minutes else ""
