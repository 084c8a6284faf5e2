"""What only the staff may see, gathered from a homework's own files for the leak gate to look for."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import dedent

from autograder.build.answers import TheoryAnswers
from autograder.build.matching import CodeSecret, ProseSecret, code_lines, prose_words
from autograder.build.regions import find_regions, without_regions
from autograder.build.source import question_of, reference_notebook
from autograder.course import Homework, Question

Regions = list[tuple[str, str, str]]  # question, cell type, text


@dataclass(frozen=True)
class Secrets:
    """code, prose: texts that must not be copied. answers: of the theory questions. tests: hidden functions' names."""

    code: tuple[CodeSecret, ...]
    prose: tuple[ProseSecret, ...]
    answers: TheoryAnswers
    tests: frozenset[str]


def gather(homework: Homework) -> Secrets:
    """Everything the gate looks for: solution regions, checks, rubric, mutants and variants, theory answers."""
    cells = [(cell, question_of(cell)) for cell in reference_notebook(homework).cells]
    regions = [
        (question, cell.cell_type, dedent("\n".join(region.lines)))
        for cell, question in cells
        for region in find_regions(cell.source, cell.id)
    ]
    answers = TheoryAnswers()
    for question, _, text in regions:
        if question.startswith("t"):
            answers.add(text)
    given = {question: without_regions(cell.source) for cell, question in cells if cell.id == question}
    checks = sorted(homework.checks.glob("*.py"))
    tests = {name for path in checks for name in re.findall(r"^def (test_\w+)", _read(path), re.MULTILINE)}
    code, prose = _code(homework, regions, given, checks), _prose(homework, regions, checks)
    return Secrets(tuple(code), tuple(prose), answers, frozenset(tests))


def _code(homework: Homework, regions: Regions, given: dict[str, str], checks: list[Path]) -> Iterator[CodeSecret]:
    for question, cell_type, text in regions:
        if cell_type == "code":
            yield CodeSecret(f"the solution of {question}", tuple(code_lines(text)), whole=True)
    for path in checks:
        yield CodeSecret(f"the hidden check {path.name}", tuple(code_lines(_read(path))))
    for path in sorted([*homework.mutants.glob("*.py"), *homework.variants.glob("*.py")]):
        yield from _changes(path, given)


def _prose(homework: Homework, regions: Regions, checks: list[Path]) -> Iterator[ProseSecret]:
    for question, cell_type, text in regions:
        if cell_type == "markdown":
            yield ProseSecret(f"the solution of {question}", tuple(prose_words(text)))
    for path in checks:
        yield from _sentences(path)
    for question in homework.questions:
        yield from _rubric(question)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _changes(path: Path, given: dict[str, str]) -> Iterator[CodeSecret]:
    """Stretches of a mutant or variant that differ from what every student sees in the cell it replaces."""
    seen = set(code_lines(given.get(path.stem.split("__")[0], "")))
    for known, run in groupby(code_lines(_read(path)), key=seen.__contains__):
        if not known:
            yield CodeSecret(f"{path.parent.name}/{path.name}", tuple(run))


def _sentences(path: Path) -> Iterator[ProseSecret]:
    """Docstrings and failure sentences of a check: a student reads them after grading, not before."""
    for node in ast.walk(ast.parse(_read(path))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(prose_words(node.value)) >= 6:
            yield ProseSecret(f"the hidden check {path.name}", tuple(prose_words(node.value)), sentence=True)


def _rubric(question: Question) -> Iterator[ProseSecret]:
    """Keys, what is commonly missed, and criteria; a report's criteria are public, they stand in its template."""
    texts = [question.key, question.missed]
    if question.kind != "r":
        texts += [criterion.what for criterion in question.criteria]
    for text in filter(None, texts):
        yield ProseSecret(f"the rubric of {question.id}", tuple(prose_words(text)))
