"""solution.py becomes the same notebooks every time, and a source that is wrong is refused with its place."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbgrader.preprocessors import CheckCellMetadata, LockCells
from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution
from nbgrader.validator import Validator

from autograder.build import BuildError, build, out_of_step, reference_notebook, starter_notebook
from autograder.build.regions import find_regions
from autograder.build.source import question_of, tag_of
from autograder.build.strip import notebook_text
from autograder.course import Course, Homework, load_course

REAL = load_course().homework("hw1")


def cells_by_id(notebook):
    return {cell.id: cell for cell in notebook.cells}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} must stand in {path.name} once"
    path.write_text(text.replace(old, new), encoding="utf-8")


def run_stubs(homework: Homework) -> dict[str, list[str]]:
    """Run the starter's definitions and checks in order; question -> what its cells raised."""
    raised: dict[str, list[str]] = {question.id: [] for question in homework.questions}
    scope: dict[str, object] = {"__name__": "starter"}
    for cell in starter_notebook(homework).cells:
        question = question_of(cell)
        if cell.cell_type != "code" or tag_of(cell) == "experiment" or question.startswith("e"):
            continue
        try:
            exec(compile(cell.source, cell.id, "exec"), scope)
        except Exception as error:
            if not question:
                pytest.fail(f"cell {cell.id} must run in the starter: {error}")
            raised[question].append(f"{type(error).__name__}: {error}")
    return raised


# The notebooks


def test_two_builds_are_equal_byte_for_byte(small_course: Course):
    homework = small_course.homework("hw1")
    for make in (reference_notebook, starter_notebook):
        assert notebook_text(make(homework)) == notebook_text(make(homework))


def test_ids_and_points_come_from_tags_and_rubric(small_course: Course):
    homework = small_course.homework("hw1")
    cells = cells_by_id(reference_notebook(homework))
    assert list(cells) == [
        "prose-1", "setup-1", "prose-2", "t1_pairs", "check_t1_pairs", "prose-3", "q1_counter", "check_q1_counter",
        "w1_why", "experiment-1", "e1_train", "check_e1_train", "r_report",
    ]  # fmt: skip
    grades = {c.metadata.nbgrader.grade_id: c.metadata.nbgrader.points for c in cells.values() if is_grade(c)}
    assert grades == {question.id: question.points for question in homework.questions}
    answer = cells["q1_counter"].metadata.nbgrader
    assert (answer.grade_id, answer.grade, answer.solution) == ("q1_counter-answer", False, True)
    written = cells["w1_why"].metadata.nbgrader
    assert (written.grade_id, written.grade, written.solution) == ("w1_why", True, True)
    assert is_locked(cells["check_q1_counter"])
    assert "nbgrader" not in cells["experiment-1"].metadata


def test_nbgrader_accepts_the_notebooks(small_course: Course):
    homework = small_course.homework("hw1")
    for notebook in (reference_notebook(homework), starter_notebook(homework)):
        nbformat.validate(notebook)
        CheckCellMetadata().preprocess(notebook, {})


def test_starter_keeps_the_given_text_and_no_solution(small_course: Course):
    cells = cells_by_id(starter_notebook(small_course.homework("hw1")))
    assert cells["q1_counter"].source == "\n".join(
        [
            "class LevelCounter:",
            '    """Counts levels 0..num_levels-1."""',
            "",
            "    def __init__(self, num_levels):",
            "        self.num_levels = num_levels",
            '        raise NotImplementedError("TODO q1_counter: make room for \\"all\\" levels")',
            "",
            "    def frequencies(self, values):",
            '        """Shares of the levels, in order."""',
            '        raise NotImplementedError("TODO q1_counter: A counter")',
        ]
    )
    assert cells["w1_why"].source == "**Your answer**\n\n*Your answer (TODO w1_why: half a page)*"


def test_starter_is_locked_and_sealed_as_nbgrader_would(small_course: Course):
    starter = starter_notebook(small_course.homework("hw1"))
    locked, _ = LockCells().preprocess(starter.copy(), {})
    assert locked == starter
    for cell in starter.cells:
        if is_grade(cell) or is_solution(cell):
            assert cell.metadata.nbgrader.checksum == compute_checksum(cell)
        if is_locked(cell):
            assert (cell.metadata.deletable, cell.metadata.editable) == (False, False)


def test_every_stub_raises_its_own_message(small_course: Course):
    raised = run_stubs(small_course.homework("hw1"))
    assert raised["t1_pairs"][0] == "NotImplementedError: TODO t1_pairs: t1_pairs_of_300 = ... (an int)"
    assert raised["q1_counter"] == ['NotImplementedError: TODO q1_counter: make room for "all" levels']


def test_nbgraders_validator_passes_the_reference_and_fails_the_starter(small_course: Course, tmp_path: Path):
    homework = small_course.homework("hw1")
    path = tmp_path / "reference.ipynb"
    path.write_text(notebook_text(reference_notebook(homework)), encoding="utf-8")
    assert "failed" not in Validator().validate(str(path))
    failed = Validator().validate(str(homework.starter))["failed"]
    assert {"t1_pairs_of_300", "LevelCounter"} <= set(re.findall(r"\w+", json.dumps(failed)))


def test_table_stands_where_the_source_says(small_course: Course):
    homework = small_course.homework("hw1")
    opening = reference_notebook(homework).cells[0].source
    assert opening.startswith("# Counting\n\nGoals: to count.\n\n| question |")
    assert "| Q1 A counter | `q1_counter` | 50 | 90 min |" in opening
    assert "| **Total** | | **100** | **about 2 h** |" in opening
    edit(homework.solution, "# # Counting\n", "# # Counting\n#\n# <!-- questions -->\n")
    opening = reference_notebook(homework).cells[0].source
    assert opening.index("| question |") < opening.index("Goals: to count.")


# Sources that are wrong

BROKEN = [
    ('# %% tags=["setup"]', "# %%", "a code cell needs a tag"),
    ('# %% tags=["setup"]', '# %% tags=["set_up"]', "no question for the tag 'set_up'"),
    ('# %% tags=["setup"]', '# %% tags=["setup", "experiment"]', "a cell has one"),
    ('# %% tags=["setup"]', '# %% tags=["q1_counter"]', "more than one cell has the tag q1_counter"),
    ('# %% tags=["setup"]', '# %% tags=["check_w1_why"]', "machine-graded questions"),
    ('# %% tags=["check_e1_train"]', '# %% tags=["experiment"]', "no cell has the tag check_e1_train"),
    ('# %% tags=["e1_train"]', '# %% tags=["experiment"]', "only a question's answer cell may hold solution regions"),
    ("# %% [markdown] tags=[\"w1_why\"]", '# %% tags=["w1_why"]', "must be a markdown cell"),
    ("    ### BEGIN SOLUTION\n", "", "ends that never began"),
    ("# ### BEGIN SOLUTION: half a page", "# ### BEGIN SOLUTION: a\n# ### BEGIN SOLUTION: b", "begins inside another"),
    ("### BEGIN SOLUTION: train the counter", "x = 1  ### BEGIN SOLUTION: train", "write markers alone"),
    ("### BEGIN SOLUTION: train the counter", "# BEGIN SOLUTION: train", "write markers alone"),
    ("from collections import Counter", "%matplotlib inline", "without magics"),
    ("from collections import Counter", "from collections import", "cell setup-1, line 1 of the starter"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, message", BROKEN)
def test_a_wrong_source_is_refused_with_its_place(small_course: Course, old, new, message):
    homework = small_course.homework("hw1")
    edit(homework.solution, old, new)
    with pytest.raises(BuildError, match=re.escape(message)):
        starter_notebook(homework)


def test_questions_stand_in_the_rubrics_order(small_course: Course):
    text = (rubric := small_course.homework("hw1").path / "rubric.toml").read_text(encoding="utf-8")
    first, second = text.index("[t1_pairs]"), text.index("[q1_counter]")
    rest = text.index("[w1_why]")
    rubric.write_text(text[:first] + text[second:rest] + text[first:second] + text[rest:], encoding="utf-8")
    homework = load_course(small_course.root).homework("hw1")
    with pytest.raises(BuildError, match=r"has t1_pairs where rubric.toml has q1_counter"):
        starter_notebook(homework)


def test_an_unfinished_source_still_gives_a_reference(small_course: Course):
    """Checks can be written before the homework is complete; what is there loads."""
    homework = small_course.homework("hw1")
    text = homework.solution.read_text(encoding="utf-8")
    homework.solution.write_text(text[: text.index('# %% [markdown] tags=["w1_why"]')], encoding="utf-8")
    assert "q1_counter" in cells_by_id(reference_notebook(homework))
    with pytest.raises(BuildError, match="no cell has the tag w1_why, e1_train"):
        starter_notebook(homework)


def test_a_missing_source_is_named(small_course: Course):
    homework = small_course.homework("hw1")
    homework.solution.unlink()
    with pytest.raises(BuildError, match=r"solution.py is missing"):
        reference_notebook(homework)


# Generated files


def test_a_built_course_is_in_step_and_each_drift_is_named(small_course: Course):
    assert out_of_step(small_course) == []
    homework = small_course.homework("hw1")
    generated = [homework.starter, homework.path / "README.md"]
    generated += [small_course.root / name for name in ("requirements.txt", "requirements-student.txt")]
    contents = {path: path.read_bytes() for path in generated}
    for path in generated:
        path.write_bytes(contents[path].replace(b"50", b"51").replace(b"==2", b"==3"))
        assert [path.name in sentence for sentence in out_of_step(small_course)] == [True]
        assert build(small_course) == [path]
        assert path.read_bytes() == contents[path]
    homework.starter.unlink()
    assert out_of_step(small_course) == ["hw1_counting/hw1.ipynb is missing: run `autograder build`"]
    edit(homework.solution, "Goals: to count.", "Goals: to count well.")
    assert "is missing" in out_of_step(small_course)[0]


def test_an_error_leaves_every_file_as_it_was(small_course: Course):
    homework = small_course.homework("hw1")
    before = {path: path.read_bytes() for path in small_course.root.rglob("*") if path.is_file()}
    (small_course.root / "requirements.txt").write_text("old\n", encoding="utf-8")
    edit(homework.path / "README.md", "<!-- /questions -->", "")
    with pytest.raises(BuildError, match=r"README.md: write <!-- questions --> and <!-- /questions --> once each"):
        build(small_course)
    assert (small_course.root / "requirements.txt").read_text(encoding="utf-8") == "old\n"
    assert set(before) == {path for path in small_course.root.rglob("*") if path.is_file()}


def test_requirements_are_pyprojects(small_course: Course):
    lines = (small_course.root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["numpy==2.4.6", "nbgrader==0.9.6", "ruff==0.17.6"]
    student = (small_course.root / "requirements-student.txt").read_text(encoding="utf-8").splitlines()
    assert student[1:] == ["numpy==2.4.6"]
    edit(small_course.root / "pyproject.toml", "staff =", "stuff =")
    with pytest.raises(BuildError, match=r"pyproject.toml: can't read dependencies and the extras"):
        out_of_step(small_course)


# The real homework


def test_committed_files_are_what_the_sources_build():
    assert out_of_step(load_course()) == []


def test_real_starter_passes_nbgrader_with_unique_ids():
    starter = nbformat.read(REAL.starter, as_version=4)
    nbformat.validate(starter)
    CheckCellMetadata().preprocess(starter, {})
    ids = [cell.metadata.nbgrader.grade_id for cell in starter.cells if "nbgrader" in cell.metadata]
    assert len(ids) == len(set(ids))
    points = {c.metadata.nbgrader.grade_id: c.metadata.nbgrader.points for c in starter.cells if is_grade(c)}
    assert points == {question.id: question.points for question in REAL.questions}


def test_real_stubs_raise_the_todo_of_their_question():
    for question, raised in run_stubs(REAL).items():
        if question[0] in "tq":
            assert raised[0].startswith(f"NotImplementedError: TODO {question}: "), f"{question}: {raised}"


def test_real_stubs_are_reached_and_carry_their_regions_messages():
    """Each region becomes one raise with its message, and no statement before it in its block leaves the block."""
    starter = cells_by_id(starter_notebook(REAL))
    for cell in reference_notebook(REAL).cells:
        wanted = [f"TODO {question_of(cell)}: {region.message}" for region in find_regions(cell.source, cell.id)]
        if cell.cell_type == "code":
            assert list(reached_todos(ast.parse(starter[cell.id].source))) == wanted, cell.id
        else:
            assert re.findall(r"\*Your answer \((TODO .*)\)\*", starter[cell.id].source) == wanted, cell.id


def reached_todos(node: ast.AST):
    """Messages of NotImplementedError that stand before any return or raise of their block."""
    for block in (getattr(node, name, []) for name in ("body", "orelse", "finalbody")):
        for statement in block if isinstance(block, list) else []:
            if isinstance(statement, ast.Raise) and statement.exc.func.id == "NotImplementedError":
                yield ast.literal_eval(statement.exc.args[0])
            if isinstance(statement, (ast.Raise, ast.Return)):
                break
            yield from reached_todos(statement)


@pytest.mark.parametrize("folder, pattern", [("checks", "test_*.py"), ("mutants", "*.py"), ("variants", "*.py")])
def test_real_files_name_questions_that_exist(folder, pattern):
    names = {path.stem.removeprefix("test_").split("__")[0] for path in (REAL.path / folder).glob(pattern)}
    assert names <= {question.id for question in REAL.machine_graded}
    if folder == "checks":
        assert names == {question.id for question in REAL.machine_graded}
