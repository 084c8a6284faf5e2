"""Handing in: what is missing is named, checks run apart and in time, the report needs no web, no zip is lost."""

import ast
import base64
import json
import os
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch import nn

from common import artifacts
from common.submit import __main__ as command
from common.submit import render as rendering
from common.submit.checks import definitions_of, run_checks, without_magics
from common.submit.findings import missing, notes
from common.submit.notebook import SubmitError, read_homework
from common.submit.pack import contents, pack, zip_name

ROOT = Path(__file__).resolve().parents[2]
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
TABLE = """# HW1 Small

| question | id | points | time |
|---|---|---|---|
| T1 A sum | `t1_sum` | 1 | 5 min |
| Q1 Doubling | `q1_double` | 50 | 5 min |
| Q2 Halving | `q2_half` | 20 | 5 min |
| W1 Why | `w1_why` | 9 | 5 min |
| E1 A model | `e1_model` | 10 | 5 min |
| Report | `r_report` | 10 | 60 min |
| **Total** | | **100** | **about 1 h** |"""
WRITTEN = "Because the chain rule holds in every order: $p(x) = \\prod_i p(x_i \\mid x_{<i})$."
SOURCES = {
    "collaboration": ("md", "I worked alone, and read the two chapters."),
    "setup": ("code", "import math"),
    "t1_sum": ("code", "t1_total = 1 + 2"),
    "check_t1_sum": ("code", "assert isinstance(t1_total, int), 't1_total must be an int'"),
    "q1_double": ("code", "def double(x):\n    return 2 * x"),
    "check_q1_double": ("code", "assert double(4) == 8, 'double(4) is not 8'"),
    "experiment": ("code", "open('ran_the_experiment', 'w')"),
    "q2_half": ("code", "def half(x):\n    return x / 2"),
    "check_q2_half": ("code", "assert half(double(3)) == 3, 'half does not undo double'"),
    "w1_why": ("md", WRITTEN),
    "e1_model": ("code", "open('ran_the_experiment', 'w')"),
    "check_e1_model": ("code", "import os\nassert os.path.exists('artifacts/e1_model.safetensors'), 'not trained'"),
    "r_report": ("md", "## Report\n\nThe loss falls from 2 to 1, as the figure shows. ![loss](figures/loss.png)"),
}
STUB = 'raise NotImplementedError("TODO q1_double: multiply by two")'


def cell_of(tag, kind, source):
    make = new_code_cell if kind == "code" else new_markdown_cell
    metadata = {"tags": [tag]}
    if tag not in ("setup", "experiment", "collaboration"):
        question, check = tag.removeprefix("check_"), tag.startswith("check_")
        machine = question[0] in "tqe"
        grade = check or not machine
        metadata["nbgrader"] = {"grade": grade, "grade_id": question if grade else f"{question}-answer", "locked": check,
                                "solution": not check, "task": False, "schema_version": 3}
    return make(source, metadata=metadata, id=tag)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the homework, complete but for the changes (tag -> source, or None to delete the cell), and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(extra=(), edit=None, **changes):
        cells = [new_markdown_cell(TABLE, id="prose-1")]
        for tag, (kind, source) in SOURCES.items():
            source = changes.get(tag, source)
            if source is not None:
                cells.append(cell_of(tag, kind, source))
            if tag == "setup":
                cells += [new_code_cell(text, id=f"own-{i}") for i, text in enumerate(extra)]
        code = next(cell for cell in cells if cell.cell_type == "code")
        picture = {"image/png": base64.b64encode(PNG).decode()}
        code.outputs = [new_output("stream", text="answer 41\ranswer 42\n"),
                        new_output("display_data", picture, metadata={"image/png": {"alt": "a dot"}})]
        notebook = new_notebook(cells=cells)
        if edit:
            edit(notebook)
        nbformat.write(notebook, "hw1.ipynb")
        artifacts.save("e1_model", nn.Linear(2, 3), {"in_features": 2, "out_features": 3})
        Path("figures").mkdir(exist_ok=True)
        Path("figures/loss.png").write_bytes(PNG)
        return Path("hw1.ipynb")

    return write


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setattr(rendering, "find_browser", lambda: None)


def missing_in(path):
    return [(finding.label, finding.sentence) for finding in missing(read_homework(path))]


def statuses(path, **limits):
    return {result.question: (result.status, result.detail) for result in run_checks(read_homework(path), **limits)}


# What is missing

def test_a_complete_homework_misses_nothing(write):
    path = write()
    assert missing_in(path) == []
    ids = [question.id for question in read_homework(path).questions]
    assert ids == ["t1_sum", "q1_double", "q2_half", "w1_why", "e1_model", "r_report"]
    (saved,) = notes(read_homework(path))
    assert saved.startswith("This is hw1.ipynb as saved on ")


@pytest.mark.parametrize("tag, source, expected", [
    ("q1_double", f"def double(x):\n    {STUB}", ("Q1 Doubling", "still to do: multiply by two")),
    ("t1_sum", 'raise NotImplementedError("TODO t1_sum: t1_total = ...")', ("T1 A sum", "still to do: t1_total = ...")),
    ("q2_half", None, ("Q2 Halving", "its cell is gone")),
    ("w1_why", "*Your answer (TODO w1_why: say why)*", ("W1 Why", "still has its line with TODO")),
    ("w1_why", f"{WRITTEN}\n\n*Your answer (TODO w1_why)*", ("W1 Why", "still has its line with TODO")),
    ("w1_why", "# A heading is no answer, however many words it has", ("W1 Why", "is empty")),
    ("w1_why", " \n", ("W1 Why", "is empty")),
    ("r_report", "## Report\n\n*Your answer (TODO r_report: report)*", ("Report", "still has its line with TODO")),
    ("collaboration", "I worked with: TODO", ("Collaboration statement", "it still has its line with TODO")),
    ("collaboration", "", ("Collaboration statement", "it is empty; say with whom you talked")),
    ("collaboration", None, ("Collaboration statement", "its cell is gone")),
])
def test_what_is_missing_is_named_at_its_question(write, tag, source, expected):
    ((label, sentence),) = missing_in(write(**{tag: source}))
    assert label == expected[0]
    assert sentence.startswith(expected[1])


def test_every_stub_of_a_question_is_named(write):
    source = "def double(x):\n    raise NotImplementedError('TODO q1_double: first')\n" \
             "def more():\n    raise NotImplementedError(\n        \"TODO q1_double: it's second\")"
    sentences = [sentence for _, sentence in missing_in(write(q1_double=source))]
    assert sentences == ["still to do: first", "still to do: it's second"]


def test_an_own_not_implemented_error_is_no_stub(write):
    assert missing_in(write(q1_double="class A:\n    def f(self):\n        raise NotImplementedError('abstract')")) == []


@pytest.mark.parametrize("damage, sentence", [
    (lambda p: p.unlink(), "does not exist. Run the cell that trains"),
    (lambda p: p.write_bytes(p.read_bytes()[:-3]), "cut short"),
    (lambda p: torch.save({"w": torch.zeros(2)}, p), "looks like a pickle"),
])
def test_a_checkpoint_that_is_missing_or_damaged_is_named(write, damage, sentence):
    path = write()
    damage(Path("artifacts/e1_model.safetensors"))
    ((label, found),) = missing_in(path)
    assert label == "E1 A model"
    assert sentence in found


def test_notes_name_lost_figures_and_missing_outputs(write):
    def clear(notebook):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []

    report = "The figure shows it well. ![a](figures/none.png) <img src='figures/lost.png'> ![b](https://x.org/a.png)"
    found = notes(read_homework(write(r_report=report, edit=clear)))
    assert "The notebook has no outputs" in found[1]
    assert found[2:] == [f"The notebook shows figures/{name}.png, but there is no such file." for name in ("lost", "none")]


# Finding the questions

def drop(*keys):
    def edit(notebook):
        for cell in notebook.cells:
            for key in keys:
                cell.metadata.pop(key, None)
    return edit


@pytest.mark.parametrize("keys", [("tags",), ("nbgrader",), ("tags", "nbgrader")])
def test_questions_are_found_although_an_editor_dropped_metadata(write, keys):
    whole = read_homework(write())
    damaged = read_homework(write(edit=drop(*keys)))
    assert [(q.id, q.answer.source, q.check and q.check.source) for q in damaged.questions] \
        == [(q.id, q.answer.source, q.check and q.check.source) for q in whole.questions]


def test_a_copied_cell_counts_once(write):
    def copy(notebook):
        answer = next(cell for cell in notebook.cells if cell.id == "q1_double")
        notebook.cells.append(nbformat.from_dict({**answer, "id": "copy", "source": "def double(x): return 0"}))

    assert read_homework(write(edit=copy)).questions[1].answer.source == SOURCES["q1_double"][1]


def test_questions_count_although_the_table_is_gone(write):
    def without_table(notebook):
        notebook.cells.pop(0)

    questions = read_homework(write(edit=without_table)).questions
    assert {(q.id, q.label) for q in questions} >= {("q1_double", "q1_double"), ("w1_why", "w1_why")}


@pytest.mark.parametrize("name, expected", [
    ("hw1.ipynb", "hw1"), ("HW1 (2).ipynb", "hw1"), ("kim_hw12_v3.ipynb", "hw12"), ("my work.ipynb", "my_work"),
])
def test_the_homework_is_known_by_common_variants_of_its_file_name(write, name, expected):
    os.rename(write(), name)
    assert read_homework(name).name == expected


@pytest.mark.parametrize("data, sentence", [
    (None, "does not exist. Run this in the folder of your notebook"),
    (b"", "can't be read as a notebook"),
    (b'{"cells": [', "can't be read as a notebook"),
    (b"\xff\xfe\x00", "can't be read as a notebook"),
    (b"[]", "can't be read as a notebook"),
    (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "can't be read as a notebook"),
    (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {}}', "it has no list of cells"),
    (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": ["x"]}', "can't be read as a notebook"),
    (json.dumps(new_notebook()).encode(), "has no question of a homework"),
    (b" " * (50 * 2**20 + 1), "more than 50 MB. Clear the outputs"),
])
def test_a_file_that_is_no_homework_is_refused(write, capsys, data, sentence):
    path = Path("other.ipynb")
    if data is not None:
        path.write_bytes(data)
    assert command.main([str(path)]) == command.WRONG
    assert sentence in " ".join(capsys.readouterr().out.split())
    assert not list(Path().glob("*.zip"))


def test_only_notebooks_and_files_are_read(tmp_path):
    for name, sentence in (("hw1.py", "must end in .ipynb"), (".ipynb", "must end in .ipynb")):
        with pytest.raises(SubmitError, match=sentence):
            read_homework(tmp_path / name)
    (tmp_path / "folder.ipynb").mkdir()
    with pytest.raises(SubmitError, match="can't be opened"):
        read_homework(tmp_path / "folder.ipynb")


# Public checks

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


# Report

@pytest.fixture
def page(write):
    pytest.importorskip("latex2mathml")
    homework = read_homework(write(w1_why=WRITTEN + "\n\n$$\\frac{a}{b}$$\n\nand a slip: $\\frac{$"))
    return rendering.to_html(homework, "kim", run_checks(homework))


def test_the_report_needs_nothing_from_the_web(page):
    for reference in ("http://", "https://", "src=\"//", "@import"):
        for tag in ("src", "href", "url("):
            assert f'{tag}="{reference}' not in page
            assert f"{tag}={reference}" not in page
    assert "<script" not in page
    assert "figures/loss.png" not in page, "the figure is in the page itself"
    assert page.count('<img alt="a dot" src="data:image/png;base64,') == 1
    assert page.count('<img alt="loss" src="data:image/png;base64,') == 1


def test_the_report_says_who_what_and_how_the_checks_went(page):
    for part in ("HW1, handed in by kim", "Q1 Doubling", "passed", "I worked alone", "The loss falls", "42"):
        assert part in page
    assert "answer 41" not in page, "of a progress bar only the last state is shown"
    assert 'alt="a dot"' in page
    assert 'alt="loss"' in page
    assert '<html lang="en"' in page


def test_formulas_are_mathml_and_slips_stay_text(page):
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>" in page
    assert "<mo>&#x0220F;</mo>" in page or "∏" in page
    assert "\\frac{" in page.split("and a slip:")[1][:60]


def test_without_a_browser_the_report_is_html(write, no_browser):
    path, reason = rendering.render(read_homework(write()), None, [], Path("report"))
    assert path == Path("report.html")
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert "No Chrome" in reason


def test_a_notebook_that_cannot_be_rendered_is_handed_in_all_the_same(write, no_browser, capsys):
    path = write(w1_why=f"{WRITTEN} ![pasted](attachment:lost.png)")
    assert command.main([str(path), "--student", "kim"]) == command.DONE
    assert "missing attachment: lost.png" in " ".join(capsys.readouterr().out.split())
    with zipfile.ZipFile("hw1_kim.zip") as archive:
        assert archive.namelist() == ["artifacts/e1_model.safetensors", "figures/loss.png", "hw1.ipynb"]


def test_a_browser_that_fails_is_no_loss(write, monkeypatch):
    monkeypatch.setattr(rendering, "find_browser", lambda: "/bin/false")
    path, reason = rendering.render(read_homework(write()), None, [], Path("report"))
    assert path.suffix == ".html"
    assert "/bin/false could not print" in reason


@pytest.mark.skipif(rendering.find_browser() is None, reason="needs Chrome, Chromium or Edge")
def test_with_a_browser_the_report_is_pdf(write):
    path, reason = rendering.render(read_homework(write()), "kim", [], Path("report"))
    assert (path, reason) == (Path("report.pdf"), "")
    assert path.read_bytes().startswith(b"%PDF-")
    assert path.stat().st_size > 10_000


# The zip

def test_the_zip_holds_what_is_graded_and_nothing_else(write, no_browser, capsys):
    path = write()
    artifacts.save("ablation", nn.Linear(1, 1), {"in_features": 1, "out_features": 1})
    for name in ("secret.txt", "artifacts/e1_model.resume", "figures/notes.txt"):
        Path(name).write_text("x")
    os.symlink("/etc/hosts", "figures/link.png")
    assert command.main([str(path), "--student", "kim"]) == command.DONE
    with zipfile.ZipFile("hw1_kim.zip") as archive:
        assert archive.namelist() == ["artifacts/e1_model.safetensors", "figures/loss.png", "hw1.ipynb", "report.html"]
        assert archive.read("hw1.ipynb") == path.read_bytes()
        assert archive.testzip() is None
    text = capsys.readouterr().out
    for part in ("every question has an answer", "4 of 4 passed", "Wrote", "hw1_kim.zip", "Blackboard"):
        assert part in text


def test_an_incomplete_homework_needs_force(write, no_browser, capsys):
    path = write(q1_double=f"def double(x):\n    {STUB}", w1_why="")
    assert command.main([str(path)]) == command.INCOMPLETE
    text = capsys.readouterr().out
    for part in ("Q1 Doubling: still to do: multiply by two", "W1 Why: is empty", "2 of 4 passed", "add --force"):
        assert part in text
    assert not list(Path().glob("*.zip"))
    assert command.main([str(path), "--force"]) == command.DONE
    assert Path("hw1_submission.zip").exists()


def test_a_failed_check_does_not_stop_handing_in(write, no_browser, capsys):
    assert command.main([str(write(q1_double="def double(x): return 0")), "--student", "kim"]) == command.DONE
    assert "double(4) is not 8" in capsys.readouterr().out


def test_an_older_zip_is_kept(write, no_browser, capsys):
    path = write()
    for _ in range(3):
        command.main([str(path), "--student", "kim"])
    assert sorted(p.name for p in Path().glob("*.zip")) == ["hw1_kim.older-1.zip", "hw1_kim.older-2.zip", "hw1_kim.zip"]
    assert "The zip that was there is now called hw1_kim.older-2.zip." in capsys.readouterr().out


def test_a_failed_write_keeps_the_older_zip(write, monkeypatch):
    files = contents(read_homework(write()), None)
    target = Path("hw1_kim.zip")
    pack(files, target)
    before = target.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        pack(files, target)
    assert [p.read_bytes() for p in Path().glob("*.zip")] == [before]


def test_the_zip_goes_where_it_is_wanted(write, no_browser):
    os.rename(write(), "HW1 (1).ipynb")
    assert command.main(["HW1 (1).ipynb", "--student", "j.smith-2", "--out", "hand/in"]) == command.DONE
    with zipfile.ZipFile("hand/in/hw1_j.smith-2.zip") as archive:
        assert "hw1.ipynb" in archive.namelist()


@pytest.mark.parametrize("student", ["", "../kim", "kim/lee", ".kim", "k" * 65, "kim lee", "金"])
def test_a_student_name_that_is_no_file_name_is_refused(write, student, capsys):
    assert command.main([str(write()), "--student", student, "--force"]) == command.WRONG
    assert "can't be part of a file name" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SubmitError, match="Use your user name"):
        zip_name(read_homework("hw1.ipynb"), student)


# What students have

def test_common_needs_nothing_that_only_the_staff_has():
    """Of common/, every import is of Python itself, of common, or of what requirements-student.txt brings."""
    brought = {"torch", "numpy", "matplotlib", "tqdm", "safetensors", "nbformat", "nbconvert", "IPython", "jinja2",
               "latex2mathml", "common"}
    for path in (ROOT / "common").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert roots <= brought | sys.stdlib_module_names, f"{path.relative_to(ROOT)} imports {roots - brought}"
