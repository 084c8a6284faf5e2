"""Phase 2: the gradebook holds what the verdicts say, keeps what people gave, and never opens up."""

import base64
import json
import math
import shutil
from dataclasses import replace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader.api import Gradebook
from traitlets.config import PyFileConfigLoader

from autograder.build import reference_notebook, starter_notebook
from autograder.checking.keys import submission_key, tree_hash
from autograder.checking.verdicts import CheckResult, Outcome, QuestionResult, Verdict
from autograder.course import CourseError
from autograder.gradebook import write_gradebook
from autograder.gradebook.book import KEPT_BACKUPS, back_up, database_url
from autograder.gradebook.preprocessors import DropRepeatedIds, MissingResult, clipped, result_of
from autograder.grading.records import Records
from autograder.grading.scores import read_comments, read_scores
from autograder.nbgrader_config import nbgrader_config, write_config

STAMP = "2024-03-24 10:00:00.000000 UTC"


class Class:
    """A class of students whose verdicts a test decides."""

    def __init__(self, course):
        self.course, self.homework = course, course.homeworks[0]
        self.reference, self.starter = reference_notebook(self.homework), starter_notebook(self.homework)
        self.records = Records(course.work, self.homework)

    def hand_in(self, student, notebook=None, raw=None, passed=1, of=2, outcome=Outcome.FAILED, questions=None):
        """Put a submission and a verdict in which `passed` of `of` checks of every question passed."""
        folder = self.course.work / "submitted" / student / "hw1"
        folder.mkdir(parents=True, exist_ok=True)
        text = raw if raw is not None else nbformat.writes(notebook or self.reference)
        (folder / "hw1.ipynb").write_text(text)
        (folder / "timestamp.txt").write_text(STAMP)
        checks = [CheckResult(f"Law {n}", "", 1.0, Outcome.OK) for n in range(passed)]
        checks += [CheckResult("A <b>broken</b> law", "B", 1.0, outcome, "the mean is off") for _ in range(of - passed)]
        asked = [q for q in self.homework.machine_graded if questions is None or q.id in questions]
        key = submission_key(self.homework, folder)
        results = {q.id: QuestionResult(q.points, tuple(checks)) for q in asked}
        verdict = Verdict("hw1", key, "ab", f"2024-{passed}", {"backend": "x"}, results, submission=tree_hash(folder))
        self.records.write(student, verdict)

    def write(self, **more):
        return write_gradebook(self.course, self.homework, **more)

    def scores(self, student):
        return read_scores(self.course.work, "hw1")[student]

    def book(self):
        return Gradebook(database_url(self.course.work))

    def mark(self, student, question, score, comment=None):
        """What a TA does in formgrader."""
        with self.book() as book:
            grade = book.find_grade(question, "hw1", "hw1", student)
            grade.manual_score, grade.needs_manual_grade = score, False
            if comment:
                book.find_comment(question, "hw1", "hw1", student).manual_comment = comment
            book.db.commit()


@pytest.fixture
def klass(module_course, tmp_path):
    return Class(replace(module_course, work=tmp_path / "course"))


def test_scores_comments_and_due_date_reach_the_gradebook(klass):
    klass.hand_in("kim", passed=1, of=4)
    assert klass.write().written == ["kim"]
    scores = klass.scores("kim")
    assert {name: score.auto for name, score in scores.items()} == {
        "t1_pairs": 2.5, "q1_counter": 12.5, "e1_train": 2.5, "w1_why": None, "r_report": None,
    }  # fmt: skip
    assert {name for name, score in scores.items() if score.needs_manual} == {"w1_why", "r_report"}
    with klass.book() as book:
        comment = book.find_comment("q1_counter-answer", "hw1", "hw1", "kim").comment
        assert "12.5 / 50" in comment
        assert "the mean is off" in comment
        assert book.find_assignment("hw1").duedate.isoformat() == "2024-03-24T14:59:59"
        assert book.find_submission("hw1", "kim").timestamp.isoformat() == "2024-03-24T10:00:00"


def test_an_untouched_written_answer_scores_zero_by_itself(klass):
    klass.hand_in("kim", klass.starter)
    klass.write()
    assert klass.scores("kim")["w1_why"].auto == 0
    assert not klass.scores("kim")["w1_why"].needs_manual


def test_a_second_run_changes_nothing(klass):
    klass.hand_in("kim")
    klass.write()
    notebook = klass.course.work / "autograded/kim/hw1/hw1.ipynb"
    before = notebook.stat().st_mtime_ns
    report = klass.write()
    assert (report.written, report.unchanged) == ([], ["kim"])
    assert notebook.stat().st_mtime_ns == before


def test_manual_scores_and_comments_survive_a_regrade_and_need_no_second_look(klass):
    klass.hand_in("kim", passed=1)
    klass.write()
    klass.mark("kim", "w1_why", 7.5, "Well argued.")
    klass.mark("kim", "t1_pairs", 4.0)
    klass.hand_in("kim", passed=2)
    assert klass.write().written == ["kim"]
    scores = klass.scores("kim")
    assert (scores["q1_counter"].auto, scores["w1_why"].manual, scores["t1_pairs"].manual) == (50, 7.5, 4.0)
    assert scores["t1_pairs"].points == 4.0
    assert read_comments(klass.course.work, "hw1") == {"kim": {"w1_why": "Well argued."}}
    assert not scores["w1_why"].needs_manual, "the answer is the same: nothing to review"
    assert scores["t1_pairs"].needs_manual, "the automatic score changed under the manual one"


def test_a_changed_answer_needs_another_look(klass):
    klass.hand_in("kim")
    klass.write()
    klass.mark("kim", "w1_why", 7.5)
    changed = nbformat.from_dict(klass.reference)
    next(cell for cell in changed.cells if cell.id == "w1_why").source = "A new answer."
    klass.hand_in("kim", changed)
    klass.write()
    assert klass.scores("kim")["w1_why"].manual == 7.5
    assert klass.scores("kim")["w1_why"].needs_manual


@pytest.mark.parametrize("gap", ["no verdict", "a question missing", "infra"])
def test_without_a_result_nothing_is_written_and_a_person_is_told(klass, gap):
    klass.hand_in("lee")
    klass.hand_in("kim", questions=["t1_pairs"] if gap == "a question missing" else None, outcome=Outcome.INFRA_ERROR)
    if gap == "no verdict":
        (klass.records.folder / "kim.json").unlink()
    report = klass.write()
    assert report.written == ["lee"]
    assert list(report.waiting) == ["kim"]
    assert "kim" not in read_scores(klass.course.work, "hw1")


def test_one_submission_that_nbgrader_refuses_stops_nobody(klass, monkeypatch):
    import autograder.gradebook as phase2

    for student in ("a", "b", "c"):
        klass.hand_in(student)
    prepare = phase2.prepare

    def break_b(work, homework, student, *rest):
        prepare(work, homework, student, *rest)
        if student == "b":
            (work / "prepared/b/hw1/hw1.ipynb").write_text("{")

    monkeypatch.setattr(phase2, "prepare", break_b)
    report = klass.write()
    assert report.written == ["a", "c"]
    assert "b" in report.waiting
    monkeypatch.undo()
    assert klass.write().written == ["b"]


def test_an_unreadable_notebook_is_shown_as_such_and_asks_for_a_person(klass):
    klass.hand_in("kim", raw="{", passed=0)
    assert klass.write().written == ["kim"]
    assert all(score.points == 0 and score.needs_manual for score in klass.scores("kim").values())
    shown = (klass.course.work / "autograded/kim/hw1/hw1.ipynb").read_text()
    assert "No notebook could be graded" in shown


def test_a_gradebook_put_back_from_a_backup_is_brought_up_to_date(klass):
    klass.hand_in("kim", passed=0)
    klass.write()
    klass.hand_in("kim", passed=2)
    backup = klass.write().backup
    shutil.copyfile(backup, klass.course.work / "gradebook.db")
    assert klass.scores("kim")["q1_counter"].auto == 0
    assert klass.write().written == ["kim"]
    assert klass.scores("kim")["q1_counter"].auto == 50


def test_backups_are_kept_up_to_a_number(klass):
    klass.hand_in("kim")
    klass.write()
    for _ in range(KEPT_BACKUPS + 3):
        back_up(klass.course.work)
    assert len(list((klass.course.work / "backups").iterdir())) == KEPT_BACKUPS


def test_points_may_not_change_once_submissions_exist(small_course):
    klass = Class(small_course)
    klass.hand_in("kim")
    klass.write()
    notebook = nbformat.read(klass.homework.starter, as_version=4)
    next(cell for cell in notebook.cells if cell.id == "check_q1_counter").metadata.nbgrader.points = 40
    nbformat.write(notebook, klass.homework.starter)
    with pytest.raises(CourseError, match="q1_counter"):
        klass.write()


# --- nbgrader fails open ---


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "5", (1,), [5.0]])
def test_what_is_no_number_is_never_a_score(value):
    with pytest.raises(MissingResult):
        clipped(value, 5)


@pytest.mark.parametrize(("value", "expected"), [(-1, 0.0), (7, 5.0), (3, 3.0), (2.5, 2.5)])
def test_scores_are_clipped_to_what_a_question_gives(value, expected):
    assert clipped(value, 5) == expected
    assert type(clipped(value, 5)) is float


def test_a_question_without_checks_has_no_result(klass):
    klass.hand_in("kim", passed=0, of=0)
    with pytest.raises(MissingResult):
        result_of(klass.records.read("kim"), "q1_counter")


def forge(notebook):
    """What a student may write into the file: scores in outputs and metadata, repeated ids, scripts."""
    evil = '<script>alert("x")</script>'
    for cell in notebook.cells:
        if cell.cell_type == "code":
            html = new_output("execute_result", data={"text/plain": "50.0", "text/html": evil})
            cell.outputs = [html, new_output("stream", name="stderr", text="warning")]
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader["points"] = 1000
    notebook.cells.append(nbformat.from_dict({**notebook.cells[-2], "id": "again"}))
    notebook.cells.append(new_markdown_cell(evil))
    forged = {"grade_id": "extra", "grade": True, "points": 9, "solution": False, "locked": True, "schema_version": 3}
    notebook.cells.append(new_code_cell("1", metadata={"nbgrader": forged}))
    return notebook


def test_forged_outputs_points_and_ids_gain_nothing(klass):
    klass.hand_in("kim", forge(nbformat.from_dict(klass.reference)), passed=0)
    assert klass.write().written == ["kim"]
    assert klass.scores("kim")["q1_counter"].auto == 0
    assert set(klass.scores("kim")) == {question.id for question in klass.homework.questions}


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_true_pictures_of_a_report_lie_where_formgrader_finds_them(klass):
    figures = klass.course.work / "submitted/kim/hw1/report/figures"
    figures.mkdir(parents=True)
    (figures / "loss.png").write_bytes(base64.b64decode(PIXEL))
    (figures / "page.png").write_text("<script>alert(1)</script>")
    (figures / "page.html").write_text("<script>alert(1)</script>")
    (figures / "secret.png").symlink_to(klass.homework.solution)
    klass.hand_in("kim")
    klass.write()
    shown = klass.course.work / "autograded/kim/hw1/figures"
    assert [path.name for path in shown.iterdir()] == ["loss.png"]


def test_repeated_ids_leave_no_empty_metadata_behind(klass):
    notebook = nbformat.from_dict(klass.reference)
    notebook.cells.append(nbformat.from_dict(next(c for c in notebook.cells if c.id == "q1_counter")))
    fixed, _ = DropRepeatedIds().preprocess(notebook, {})
    ids = [cell.metadata.nbgrader.grade_id for cell in fixed.cells if "nbgrader" in cell.metadata]
    assert len(ids) == len(set(ids))
    assert "q1_counter-answer" in ids


def test_nbgrader_and_formgrader_in_the_terms_tree_use_the_same_configuration(klass):
    path = write_config(klass.course)
    loaded = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    assert path.parent == klass.course.work
    assert loaded == nbgrader_config(klass.course)
    assert not any("Execute" in name for name in loaded.Autograde.autograde_preprocessors), "nothing of a student's is run"


def test_reports_are_what_the_grade_cell_shows(klass):
    klass.hand_in("kim", passed=1)
    klass.write()
    cells = json.loads((klass.course.work / "autograded/kim/hw1/hw1.ipynb").read_text())["cells"]
    outputs = next(cell for cell in cells if cell["id"] == "check_q1_counter")["outputs"]
    assert [output["output_type"] for output in outputs] == ["stream", "execute_result"]
    assert "Law 0" in "".join(outputs[0]["text"])
    assert "".join(outputs[1]["data"]["text/plain"]) == "25.0"
