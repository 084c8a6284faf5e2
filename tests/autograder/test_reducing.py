"""Cells as grading loads them: definitions stay on their lines, nothing else runs."""

import ast
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.submission.reducing import CellError, definitions_only, without_magics, without_training

KEPT = [
    "import math",
    "from os import path as where",
    "def f(x):\n    return boom()",
    "class A(object):\n    x = 1\n    def g(self):\n        boom()",
    "A_CONSTANT = 3",
    "TABLE = {'a': [1, 2], 'b': (3,)}",
    "ROOT = math.sqrt(2.0) if False else len([1])",
    "@staticmethod\ndef deco():\n    boom()",
    '"""words"""',
    "try:\n    import nothing_here\nexcept ImportError:\n    nothing_here = None",
]
DROPPED = [
    "boom()",
    "for i in range(3):\n    boom()",
    "x = boom()",
    "while boom():\n    pass",
    "with boom() as z:\n    pass",
    "y: int = boom()",
    "a = 1; boom(); b = 2",
    "x = [\n    boom(),\n]; c = 3",
    "assert boom()",
    "values = [boom() for _ in range(3)]",
    "if True:\n    boom()\nelse:\n    pass",
    "print('한글', boom())",
    "z = (yes := boom())",
    "lazy = boom().attr[0]",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(KEPT + DROPPED), max_size=8))
def test_reduced_cells_run_nothing_keep_definitions_and_their_lines(parts):
    source = "\n".join(parts)
    reduced = definitions_only(source)

    def boom():
        raise AssertionError("a statement that should have been left out was run")

    scope = {"boom": boom}
    exec(compile(reduced.source, "cell", "exec"), scope)
    assert reduced.source.count("\n") == source.count("\n")
    before, after = _definitions(source), _definitions(reduced.source)
    assert before == after
    assert definitions_only(reduced.source).source == reduced.source


def _definitions(source: str) -> list[tuple[int, str]]:
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return [(node.lineno, ast.unparse(node)) for node in ast.parse(source).body if isinstance(node, kinds)]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_reduced_or_refused(text):
    with contextlib.suppress(CellError):
        compile(definitions_only(without_magics(text).source).source, "cell", "exec")


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("%matplotlib inline\nx = 1", {"x": 1}),
        ("!pip install torch\nx = 1", {"x": 1}),
        ("%%time\nx = 1", {"x": 1}),
        ("%%bash\nrm -rf /", {}),
        ("files = !ls\nx = 1", {"x": 1}),
        ("x = 1\nx?", {"x": 1}),
        ("def f():\n    !ls\n    %time g()\n    return 5\nx = f()", {"x": 5}),
        ("if True:\n    %cd ..\n    x = 1", {"x": 1}),
        ("\n\n%load_ext autoreload\nx = 1", {"x": 1}),
        ("if False:\n    pass\nelif get_ipython():\n    y = 1\nx = 1", {"x": 1}),
        ("# 한글\nx = '한글'; get_ipython(); y = 2", {"x": "한글", "y": 2}),
        ("x = [\n 1,\n get_ipython(),\n]; y = 2", {"y": 2}),
    ],
)
def test_magics_and_shell_lines_vanish(source, kept):
    scope = {}
    exec(without_magics(source).source, scope)
    assert {name: scope[name] for name in kept} == kept
    assert "get_ipython" not in scope


@pytest.mark.parametrize("source", ["x = (", "def f(:\n  pass", "return 3", "x = 1\n\ty = 2", "\x00", "(" * 500 + ")" * 500])
def test_no_python_is_refused_with_its_line(source):
    with pytest.raises(CellError, match=r"line \d|can't be read"):
        without_magics(source)


def test_an_error_keeps_the_line_that_the_student_sees():
    source = "x = [\n  1,\n]\nmodel = boom(\n  3,\n)\n\ndef f():\n    return 1 / 0\n"
    scope = {}
    exec(compile(definitions_only(source).source, "cell", "exec"), scope)
    assert scope["f"].__code__.co_firstlineno == 8


def test_training_in_a_questions_cell_and_what_depends_on_it_is_left_out():
    source = "def train(m):\n    m.backward()\nmodel = object()\nloss = train(model)\nshown = loss + 1\nEPS = float('1e-3')"
    reduced = without_training(source, trainers=frozenset({"train"}))
    scope = {}
    exec(reduced.source, scope)
    assert reduced.left_out == (4, 5)
    assert scope["EPS"] == 1e-3
