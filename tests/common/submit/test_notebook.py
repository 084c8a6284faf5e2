"""Questions are found whatever an editor did to the notebook; what is no homework is refused."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_notebook

from common.submit import __main__ as command
from common.submit.notebook import SubmitError, read_homework


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

    assert read_homework(write(edit=copy)).questions[1].answer.source == "def double(x):\n    return 2 * x"


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
