"""A small homework, complete, and ways to spoil it."""

import base64
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch import nn

from common import artifacts
from common.submit import render as rendering

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
    """Writes the homework, complete but for the changes (tag -> source, or None to delete the cell), and returns it."""
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
