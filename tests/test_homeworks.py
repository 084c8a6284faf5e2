"""Every homework of the course: ids, files and points agree, and a sample of its checks' trials comes out right.

`autograder audit` runs all trials; here each question has one mutant and one variant, graded on its own question.
"""

import ast
import tempfile
from pathlib import Path

import pytest

from autograder.audit import TRIVIAL, changed
from autograder.build import reference_notebook
from autograder.checking.run import check_submission, hand_in, released
from autograder.checking.trivial import TrivialBackend
from autograder.course import load_course
from autograder.jail import make_backend

COURSE = load_course()
HOMEWORKS = {homework.name: homework for homework in COURSE.homeworks}


def samples(folder_name):
    """The first mutant or variant of each question, in alphabetical order."""
    for homework in COURSE.homeworks:
        seen = set()
        for path in sorted(getattr(homework, folder_name).glob("*.py")):
            question = path.stem.split("__")[0]
            if question not in seen:
                seen.add(question)
                yield pytest.param(homework, path, id=f"{homework.name}-{path.stem}")


@pytest.fixture(scope="module")
def backend():
    made = make_backend("bubblewrap")
    yield made
    made.close()


@pytest.fixture(params=HOMEWORKS.values(), ids=HOMEWORKS)
def homework(request):
    return request.param


def graded(homework, notebook, backend, questions=None, checkpoints=True):
    """The verdict on a notebook, through the real path."""
    with tempfile.TemporaryDirectory() as folder:
        hand_in(homework, notebook, Path(folder), checkpoints)
        return check_submission(homework, Path(folder), questions, backend=backend)


def test_every_question_has_its_files(homework):
    machine = {question.id for question in homework.machine_graded}
    assert {path.stem.removeprefix("test_") for path in homework.checks.glob("test_*.py")} == machine
    for folder in (homework.mutants, homework.variants):
        unknown = {path.stem.split("__")[0] for path in folder.glob("*.py")} - machine
        assert not unknown, f"{folder}: no such questions: {unknown}"
    assert {path.stem for path in homework.checkpoints.glob("*")} >= {q.id for q in homework.questions if q.kind == "e"}


def test_every_programming_question_has_mutants_and_variants(homework):
    for question in homework.questions:
        if question.kind == "q":
            assert list(homework.mutants.glob(f"{question.id}__*.py")), f"{question.id} has no mutant"
            assert list(homework.variants.glob(f"{question.id}__*.py")), f"{question.id} has no variant"


def test_every_check_says_what_it_checks_and_every_assert_has_a_sentence(homework):
    for path in homework.checks.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"
            if isinstance(node, ast.Assert):
                assert node.msg is not None, f"{path.name}, line {node.lineno}: an assert without a sentence"


def test_every_mutant_and_variant_says_what_it_is(homework):
    for path in [*homework.mutants.glob("*.py"), *homework.variants.glob("*.py")]:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, f"{path.name} has no docstring"
        assert ":" in text, f"{path.name}: the docstring begins with an id and a colon"


def test_written_questions_have_criteria_and_a_key(homework):
    for question in homework.questions:
        if question.kind == "w":
            assert 3 <= len(question.criteria) <= 5, question.id
            assert len(question.key) > 100, question.id
            assert question.missed, question.id


def test_the_reference_earns_everything(homework, backend):
    verdict = graded(homework, reference_notebook(homework), backend)
    lost = [(key, c) for key, q in verdict.questions.items() for c in q.checks if c.verdict != "OK"]
    assert lost == []
    assert verdict.points == sum(question.points for question in homework.machine_graded)
    assert verdict.notes == verdict.problems == ()


def test_the_starter_earns_nothing(homework, backend):
    verdict = graded(homework, released(homework), backend, checkpoints=False)
    assert verdict.points == 0
    assert verdict.infra_errors == 0


@pytest.mark.parametrize("kind", TRIVIAL)
def test_answers_without_content_earn_nothing(homework, backend, kind):
    verdict = graded(homework, reference_notebook(homework), TrivialBackend(backend, kind))
    assert [(key, c.name) for key, q in verdict.questions.items() for c in q.checks if c.verdict == "OK"] == []
    assert verdict.infra_errors == 0


@pytest.mark.parametrize("homework, path", samples("mutants"))
def test_a_mutant_loses_points(homework, path, backend):
    question = path.stem.split("__")[0]
    notebook = changed(reference_notebook(homework), question, path.read_text(encoding="utf-8"))
    result = graded(homework, notebook, backend, [question]).questions[question]
    assert result.points < result.max_points
    assert result.infra_errors == 0


@pytest.mark.parametrize("homework, path", samples("variants"))
def test_a_variant_keeps_all_points(homework, path, backend):
    question = path.stem.split("__")[0]
    notebook = changed(reference_notebook(homework), question, path.read_text(encoding="utf-8"))
    result = graded(homework, notebook, backend, [question]).questions[question]
    assert [check for check in result.checks if check.verdict != "OK"] == []
