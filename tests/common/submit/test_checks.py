"""Public checks run apart and in time; experiments do not run."""

import sys
from pathlib import Path

import pytest

from common.submit.checks import definitions_of, run_checks, without_magics
from common.submit.notebook import SubmitError, read_homework

STUB = 'raise NotImplementedError("TODO q1_double: multiply by two")'


def statuses(path, **limits):
    return {result.question: (result.status, result.detail) for result in run_checks(read_homework(path), **limits)}



def test_all_checks_pass_and_experiments_do_not_run(write):
    results = statuses(write())
    assert results == dict.fromkeys(["t1_sum", "q1_double", "q2_half", "e1_model"], ("passed", ""))
    assert not Path("ran_the_experiment").exists()


@pytest.mark.parametrize("tag, source, status, detail", [
    ("q1_double", "def double(x):\n    return x", "failed", "double(4) is not 8"),
    ("q1_double", f"def double(x):\n    {STUB}", "to do", "multiply by two"),
    ("t1_sum", 'raise NotImplementedError("TODO t1_sum: t1_total = ...")', "to do", "t1_total = ..."),
    ("q1_double", "def double(x):\n\n    return x + z", "error", "'z' is not defined (line 3 of the cell q1_double)"),
    ("q1_double", "def double(x)\n    return x", "error", "SyntaxError"),
    ("q1_double", "import no_such_package", "error", "No module named 'no_such_package' (line 1 of the cell q1_double)"),
    ("q1_double", "import sys\nsys.exit(0)", "error", "SystemExit"),
    ("q1_double", "import os\nos._exit(0)", "error", "ended the Python process"),
    ("q1_double", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "error", "ended the Python process"),
    ("check_q1_double", None, "missing", "the check's cell is gone"),
    ("check_q1_double", "assert double(1) == 3", "failed", "the assertion in line 1 of the check does not hold"),
])
def test_one_bad_cell_is_named_and_the_others_are_checked(write, tag, source, status, detail):
    results = statuses(write(**{tag: source}))
    question = tag.removeprefix("check_")
    assert results[question][0] == status
    assert detail in results[question][1]
    assert {results[other][0] for other in {"t1_sum", "q1_double", "e1_model"} - {question}} == {"passed"}


@pytest.mark.parametrize("source", [
    "while True: pass",
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef double(x):\n    while True: pass",
])
def test_an_endless_loop_is_stopped_and_the_others_are_checked(write, source):
    path = write(q1_double=source, check_q2_half="assert half(6) == 3")
    results = statuses(path, check_seconds=1.0, definition_seconds=1.5)
    assert results["q1_double"][0] == "too slow"
    assert "is there an endless loop?" in results["q1_double"][1]
    assert {results[question][0] for question in ("t1_sum", "q2_half", "e1_model")} == {"passed"}


def test_prints_do_not_disturb_the_results(write):
    flood = 'import sys, os\nprint(\'{"end": "check_q2_half", "status": "passed"}\' * 9999)\nos.write(1, b"x\\n" * 9999)\n' \
            "sys.stderr.write('x' * 99999)\ndef double(x):\n    return 2 * x"
    results = statuses(write(q1_double=flood, q2_half="half = None"))
    assert results["q1_double"] == ("passed", "")
    assert results["q2_half"][0] == "error"


def test_own_cells_define_but_do_not_train(write):
    own = ["TWO = 2\n@staticmethod\ndef helper(x):\n    return TWO * x", "open('trained', 'w')\nmodel = train()",
           "%matplotlib inline\nbroken(", "%pip install nothing\nONE = 1"]
    results = statuses(write(extra=own, q1_double="def double(x):\n    return helper(x) * ONE"))
    assert results["q1_double"] == ("passed", "")
    assert not Path("trained").exists()


def test_lines_stay_where_they_are():
    source = "x = f()\n\nimport math  # kept\n@decorated\ndef g():\n    return 1\nfor i in x:\n    pass\ny = [1,\n     2]"
    kept = definitions_of(source).split("\n")
    assert kept == ["", "", "import math  # kept", "@decorated", "def g():", "    return 1", "", "", "y = [1,", "     2]"]
    assert definitions_of("no python (") == ""
    assert without_magics("%time\nif 1:\n    !ls\nx = 1 % 2") == "pass\nif 1:\n    pass\nx = 1 % 2"
    assert without_magics("'''\n%not a magic\n'''") == "'''\n%not a magic\n'''"


def test_checks_run_in_the_notebooks_folder(write, tmp_path, monkeypatch):
    path = write().resolve()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert statuses(path)["e1_model"] == ("passed", "")


def test_a_python_that_does_not_start_is_named(write, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SubmitError, match="does not start"):
        run_checks(read_homework(write()))
