"""Pre-flight: what can be repaired is, nothing that trains is loaded, and no input makes it raise."""

import copy
import json
import random
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.nbgraderformat import MetadataValidator

from autograder.build import reference_notebook, starter_notebook
from autograder.submission import read_submission

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


# --- repair ---


def test_a_complete_notebook_is_loaded_as_it_is(built, tmp_path):
    found = read(built, tmp_path / "s", solved(built))
    assert (found.notes, found.problems) == ((), ())
    assert [cell.name for cell in found.cells][:3] == ["setup", "t1_pairs", "q1_counter"]
    assert by_name(found)["q1_counter"] == cell_of(solved(built), "q1_counter").source
    require_fit_for_nbgrader(found, built)


def test_checks_and_experiments_are_never_loaded(built, tmp_path):
    loaded = "\n".join(by_name(read(built, tmp_path / "s", solved(built))).values())
    assert "history" not in loaded
    assert "shares" not in loaded
    assert "frequencies([int" not in loaded


def strip_metadata(notebook, rng):
    for cell in notebook.cells:
        cell.metadata = {}


def strip_ids(notebook, rng):
    for cell in notebook.cells:
        cell.pop("id", None)


def delete_locked(notebook, rng):
    notebook.cells = [cell for cell in notebook.cells if not str(cell.get("id", "")).startswith("check_")]


def edit_locked(notebook, rng):
    for cell in notebook.cells:
        if str(cell.get("id", "")).startswith("check_"):
            cell.source = "pass"


def duplicate(notebook, rng):
    place = rng.randrange(len(notebook.cells))
    notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]))


def add_clutter(notebook, rng):
    notebook.cells.insert(rng.randrange(len(notebook.cells)), new_code_cell("while True: print('training')"))
    notebook.cells.append(new_markdown_cell("my thoughts"))


def forge_points(notebook, rng):
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader = {**cell.metadata.nbgrader, "points": 1e9, "schema_version": 1, "locked": False}


DAMAGES = [strip_metadata, strip_ids, delete_locked, edit_locked, duplicate, add_clutter, forge_points]


@QUICK
@given(st.lists(st.sampled_from(DAMAGES), max_size=5), st.integers(0, 10**6))
def test_any_damage_leaves_the_same_definitions_and_a_gradable_notebook(built, tmp_path, damages, seed):
    notebook, rng = solved(built), random.Random(seed)
    for damage in damages:
        damage(notebook, rng)
    found = read(built, tmp_path / "s", notebook)
    assert found.problems == ()
    whole = by_name(read(built, tmp_path / "whole", solved(built)))
    assert {name: by_name(found).get(name) for name in whole} == whole
    assert "while True" not in "".join(by_name(found).values())
    require_fit_for_nbgrader(found, built)
    assert cell_of(found.notebook, "check_q1_counter").metadata.nbgrader.points == 50


def test_locked_cells_come_back_as_released_and_are_noted(built, tmp_path):
    notebook = solved(built)
    edit_locked(notebook, None)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "check_t1_pairs"]
    found = read(built, tmp_path / "s", notebook)
    assert cell_of(found.notebook, "check_q1_counter").source == cell_of(built[1], "check_q1_counter").source
    assert any(note.startswith("t1_pairs: the cell was missing") for note in found.notes)
    assert any(note.startswith("q1_counter: the locked cell was edited") for note in found.notes)


def test_of_repeated_cells_the_last_that_is_no_stub_counts(built, tmp_path):
    notebook = solved(built)
    place = [cell.id for cell in notebook.cells].index("q1_counter")
    first, stub = copy.deepcopy(notebook.cells[place]), copy.deepcopy(cell_of(built[1], "q1_counter"))
    first.source = first.source.replace("[0] * num_levels", "[1] * num_levels")
    notebook.cells[place : place + 1] = [first, notebook.cells[place], stub]
    found = read(built, tmp_path / "s", notebook)
    assert by_name(found)["q1_counter"] == cell_of(solved(built), "q1_counter").source
    assert any("3 cells answer it" in note for note in found.notes)
    require_fit_for_nbgrader(found, built)


def test_an_answer_beside_an_untouched_stub_is_found_by_its_names(built, tmp_path):
    notebook = copy.deepcopy(built[1])
    answer = cell_of(built[2], "q1_counter").source
    notebook.cells.insert(1, new_code_cell(answer))
    assert by_name(read(built, tmp_path / "s", notebook))["q1_counter"] == answer


def test_an_answer_split_over_two_cells_is_joined(built, tmp_path):
    notebook = solved(built)
    place = [cell.id for cell in notebook.cells].index("q1_counter")
    whole = notebook.cells[place]
    helper = copy.deepcopy(whole)  # JupyterLab copies the metadata when it splits a cell
    helper.source = "def helper(x):\n    return x"
    notebook.cells.insert(place, helper)
    found = read(built, tmp_path / "s", notebook)
    assert by_name(found)["q1_counter"] == f"{helper.source}\n\n{whole.source}"
    require_fit_for_nbgrader(found, built)


def test_words_without_any_metadata_are_found_by_their_place(built, tmp_path):
    notebook = solved(built)
    for cell in notebook.cells:
        if cell.id in ("w1_why", "r_report"):
            cell.source = f"My answer to {cell.id}, in my words."
    strip_metadata(notebook, None)
    strip_ids(notebook, None)
    found = read(built, tmp_path / "s", notebook).notebook
    assert cell_of(found, "w1_why").source == "My answer to w1_why, in my words."
    assert cell_of(found, "r_report").source == "My answer to r_report, in my words."


def test_a_syntax_error_loses_one_cell_and_names_the_line(built, tmp_path):
    notebook = solved(built)
    cell_of(notebook, "t1_pairs").source = "x = 1\nt1_pairs_of_300 = (((\n"
    found = read(built, tmp_path / "s", notebook)
    assert "t1_pairs" not in by_name(found)
    assert "q1_counter" in by_name(found)
    assert any(note.startswith("t1_pairs: syntax error in line 2") for note in found.notes)
    require_fit_for_nbgrader(found, built)


def test_a_changed_setup_keeps_the_released_one_and_adds_its_own_imports(built, tmp_path):
    notebook = solved(built)
    cell_of(notebook, "setup-1").source = "import math\nmodel = train()\n"
    cells = by_name(read(built, tmp_path / "s", notebook))
    assert cells["setup"] == cell_of(built[1], "setup-1").source
    assert "import math" in cells["added-1"]
    assert "train" not in cells["added-1"]


def test_classes_of_an_experiment_are_loaded_but_do_not_replace_answers(built, tmp_path):
    notebook = solved(built)
    cell_of(notebook, "e1_train").source = "class Mine: pass\nclass LevelCounter: pass\ntrained = Mine.run()\nLEVELS = 3"
    source = by_name(read(built, tmp_path / "s", notebook))["e1_train"]
    assert "class Mine" in source
    assert "LevelCounter" not in source
    assert "run" not in source


def test_names_lost_in_one_cell_are_missed_in_the_next(built, tmp_path):
    notebook = solved(built)
    notebook.cells[2:2] = [new_code_cell("model = train_it()"), new_code_cell("SIZE = model\nOTHER = 4")]
    found = read(built, tmp_path / "s", notebook)
    loaded = "\n".join(by_name(found).values())
    assert "SIZE" not in loaded
    assert "OTHER = 4" in loaded
