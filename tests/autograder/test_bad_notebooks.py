"""Inputs that are no notebook of this homework, or hardly one: each has its sentence, none raises."""

import base64
import copy
import json
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.nbgraderformat import MetadataValidator

from autograder.build import reference_notebook, starter_notebook
from autograder.submission import read_submission
from autograder.submission.outputs import safe_outputs

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def built(module_course):
    """Homework, starter, and the reference as a student who solved everything would hold it."""
    homework = module_course.homeworks[0]
    return homework, starter_notebook(homework), reference_notebook(homework)


def solved(built) -> nbformat.NotebookNode:
    return copy.deepcopy(built[2])


def read(built, folder: Path, notebook=None, name: str = "hw1.ipynb", raw: bytes | None = None):
    folder.mkdir(exist_ok=True)
    if notebook is not None or raw is not None:
        (folder / name).write_bytes(raw if raw is not None else json.dumps(notebook).encode())
    return read_submission(folder, built[0], built[1])


def by_name(submission) -> dict[str, str]:
    return {cell.name: cell.source for cell in submission.cells}


def cell_of(notebook, cell_id: str):
    return next(cell for cell in notebook.cells if cell.get("id") == cell_id)


def require_fit_for_nbgrader(submission, built) -> None:
    """Every graded cell of the release is there exactly once, and nbgrader's own validators agree."""
    nbformat.validate(submission.notebook)
    MetadataValidator().validate_nb(submission.notebook)

    def grade_ids(notebook):
        return sorted(cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata)

    assert grade_ids(submission.notebook) == grade_ids(built[1])


def wrap(cells) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


BAD = {
    "empty": b"",
    "blank": b"  \n ",
    "truncated": b'{"cells": [{"cell_type": "code", "source": "x = ',
    "no json": b"import torch",
    "binary": bytes(range(128, 256)) * 10,
    "a list": b"[1, 2]",
    "cells no list": b'{"cells": {"a": 1}}',
    "deep": b"[" * 200_000,
    "nulls": b"\x00" * 1000,
    "cells are numbers": wrap([1, None, "x", []]),
    "cells without source": wrap([{"cell_type": "code"}, {"cell_type": "markdown", "metadata": 3}]),
    "other homework": wrap([{"cell_type": "code", "source": "x = 1", "metadata": {"nbgrader": {"grade_id": "q1_flow"}}}]),
    "format 3 broken": b'{"worksheets": [{"cells": 3}], "nbformat": 3}',
    "too many cells": wrap([{"cell_type": "code", "source": ""}] * 3000),
    "nan": b'{"cells": [], "nbformat": NaN}',
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_notebook_is_named_for_a_person(built, tmp_path, kind):
    found = read(built, tmp_path / "s", raw=BAD[kind])
    assert found.notebook is None
    assert found.cells == ()
    assert len(found.problems) == 1
    assert "hw1.ipynb" in found.problems[0]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("id", "source", "metadata", "outputs", "attachments", "execution_count")
CELL = st.builds(
    lambda kind, fields, known: {"cell_type": kind, **fields, **known},
    st.sampled_from(["code", "markdown", "raw", "task", None]),
    st.dictionaries(st.sampled_from(FIELDS), JUNK),
    st.sampled_from([{}, {"source": "class LevelCounter: pass"}, {"source": "t1_pairs_of_300 = 4"}, {"id": "w1_why"}]),
)


@QUICK
@given(st.lists(CELL | JUNK, max_size=8))
def test_any_json_is_read_without_raising(built, tmp_path, cells):
    found = read(built, tmp_path / "s", raw=wrap(cells))
    assert (found.notebook is None) == bool(found.problems)
    answers = [{"cell_type": "code", "source": f"{name} = 4"} for name in ("t1_pairs_of_300", "LevelCounter")]
    answers.append({"cell_type": "markdown", "source": "my words", "id": "w1_why"})
    require_fit_for_nbgrader(read(built, tmp_path / "s", raw=wrap([*cells, *answers])), built)


def test_a_notebook_of_100_mb_is_refused_before_it_is_parsed(built, tmp_path):
    (tmp_path / "s").mkdir()
    with (tmp_path / "s" / "hw1.ipynb").open("wb") as file:
        file.truncate(100_000_000)
    found = read(built, tmp_path / "s")
    assert "100 MB" in found.problems[0]


def test_no_notebook_at_all(built, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "essay.docx").write_bytes(b"x")
    assert "no notebook" in read(built, tmp_path / "s").problems[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp949"])
def test_other_encodings_are_read(built, tmp_path, encoding):
    notebook = solved(built)
    cell_of(notebook, "w1_why").source = "한국어 답안"
    raw = json.dumps(notebook, ensure_ascii=False).encode(encoding)
    found = read(built, tmp_path / "s", raw=raw)
    assert found.problems == ()
    assert cell_of(found.notebook, "w1_why").source == "한국어 답안"


def test_format_3_is_converted(built, tmp_path):
    old = nbformat.convert(solved(built), 3)
    found = read(built, tmp_path / "s", raw=nbformat.writes(old, version=3).encode())
    assert found.problems == ()
    assert by_name(found)["q1_counter"] == cell_of(solved(built), "q1_counter").source


def test_a_renamed_notebook_is_found_and_noted(built, tmp_path):
    found = read(built, tmp_path / "s", solved(built), name="Kim HW1 (final).ipynb")
    assert found.problems == ()
    assert any("Kim HW1" in note for note in found.notes)
    assert "q1_counter" in by_name(found)


def test_of_two_notebooks_the_one_that_fits_is_graded(built, tmp_path):
    read(built, tmp_path / "s", new_notebook(cells=[new_code_cell("x = 1")]), name="scratch.ipynb")
    found = read(built, tmp_path / "s", solved(built), name="mine.ipynb")
    assert found.problems == ()
    assert "q1_counter" in by_name(found)
    both = read(built, tmp_path / "s", solved(built), name="hw1.ipynb")
    assert "several notebooks" in both.problems[0]
    assert "mine.ipynb" in both.problems[0]


def test_links_hidden_folders_and_pickles_are_not_followed(built, tmp_path):
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(b"x")
    folder = tmp_path / "s"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "e1_train.safetensors").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    (folder / "artifacts" / "model.pt").write_bytes(b"\x80\x04.")
    found = read(built, folder, solved(built))
    assert found.checkpoints == {}
    assert any("model.pt" in note for note in found.notes)


def test_checkpoints_are_found_by_name_wherever_they_lie(built, tmp_path):
    folder = tmp_path / "s"
    for place in ("old", "hw1/artifacts"):
        (folder / place).mkdir(parents=True)
        (folder / place / "e1_train.safetensors").write_bytes(place.encode())
    found = read(built, folder, solved(built))
    assert found.checkpoints["e1_train"].read_bytes() == b"hw1/artifacts"


def test_only_plain_text_and_true_pictures_survive():
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 10).decode()
    evil = '"><script>alert(1)</script>'
    outputs = [
        new_output("display_data", {"text/html": evil, "application/javascript": "alert(1)", "image/svg+xml": evil}),
        new_output("display_data", {"image/png": png, "text/html": evil}, metadata={"image/png": {"width": evil}}),
        new_output("display_data", {"image/png": evil}),
        new_output("display_data", {"image/png": base64.b64encode(b"<script>").decode()}),
        new_output("stream", name=evil, text="\x1b]0;title\x07 plain"),
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": [evil]},
        {"output_type": "execute_result", "data": {"text/latex": evil, "text/plain": ["a", 3, "b"]}},
        "no output", None, {"output_type": evil},
    ]  # fmt: skip
    kept = safe_outputs(outputs)
    assert "script" not in json.dumps(kept)
    assert [output.output_type for output in kept] == ["display_data", "stream", "stream", "display_data"]
    assert kept[0].data["image/png"] == png
    assert kept[3].data == {"text/plain": "ab"}
