"""Everything that is missing is named at its question."""

from pathlib import Path

import pytest
import torch

from common.submit.findings import missing, notes
from common.submit.notebook import read_homework

STUB = 'raise NotImplementedError("TODO q1_double: multiply by two")'
WRITTEN = "Because the chain rule holds in every order: $p(x) = \\prod_i p(x_i \\mid x_{<i})$."


def missing_in(path):
    return [(finding.label, finding.sentence) for finding in missing(read_homework(path))]



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
    ("w1_why", "*Your answer (TODO w1_why: say why)*", ("W1 Why", "1 line with TODO left")),
    ("w1_why", f"{WRITTEN}\n\n*Your answer (TODO w1_why)*", ("W1 Why", "1 line with TODO left")),
    ("w1_why", "# A heading is no answer, however many words it has", ("W1 Why", "the answer is empty")),
    ("w1_why", " \n", ("W1 Why", "the answer is empty")),
    ("r_report", "## Report\n\n*Your answer (TODO r_report: report)*", ("Report", "1 line with TODO left")),
    ("collaboration", "I worked with: TODO", ("Collaboration statement", "1 line with TODO left")),
    ("collaboration", "", ("Collaboration statement", "the answer is empty")),
    ("collaboration", "- My name: Kim\n- I talked with:\n- Mine: yes",
     ("Collaboration statement", "not filled in: I talked with")),
    ("r_report", "### 1\n*Your answer (TODO r_report: a)*\n### 2\n*(TODO b)*", ("Report", "2 lines with TODO left")),
    ("collaboration", None, ("Collaboration statement", "its cell is gone")),
])
def test_what_is_missing_is_named_at_its_question(write, tag, source, expected):
    ((label, sentence),) = missing_in(write(**{tag: source}))
    assert label == expected[0]
    assert sentence.startswith(expected[1])


def test_every_stub_of_a_question_is_named(write):
    source = "def double(x):\n    raise NotImplementedError('TODO q1_double: first')\n" \
             "def more():\n    raise NotImplementedError(\n        \"TODO q1_double: it's \\\"second\\\"\")"
    sentences = [sentence for _, sentence in missing_in(write(q1_double=source))]
    assert sentences == ["still to do: first", "still to do: it's \"second\""]


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
