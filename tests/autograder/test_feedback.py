"""Feedback: a student reads all that concerns them and nothing else; the class table adds up."""

import csv
import io
import sqlite3
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autograder.checking.verdicts import CheckResult, Outcome, QuestionResult, Verdict
from autograder.course import Question
from autograder.feedback import class_csv, class_marks, class_table, write_feedback
from autograder.feedback.pages import visible
from autograder.feedback.statistics import class_figures
from autograder.feedback.text import number, question_text
from autograder.grading.records import Records

EVIL = '<script>alert("x")</script>'


def verdict(homework, passed: int = 1, of: int = 2, outcome=Outcome.FAILED, **more) -> Verdict:
    checks = [CheckResult(f"Law {n}", "", 1.0, Outcome.OK) for n in range(passed)]
    wrong = CheckResult("A broken law", "type A", 1.0, outcome, f"the mean is off {EVIL}", detail="SECRET DETAIL")
    results = {q.id: QuestionResult(q.points, (*checks, *[wrong] * (of - passed))) for q in homework.machine_graded}
    about = {"created": "2024-03-25T09:00:00+00:00", "jail": {"backend": "x"}}
    return Verdict("hw1", "KEYKEY", "SEEDSEED", questions=results, **about, **more)


class Klass:
    """A class with verdicts, and a gradebook where a test wants one."""

    def __init__(self, course):
        self.course, self.homework = course, course.homeworks[0]
        self.records = Records(course.work, self.homework)

    def add(self, student, **more):
        folder = self.course.work / "submitted" / student / "hw1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "timestamp.txt").write_text("2024-03-24 10:00:00.000000 UTC")
        self.records.write(student, verdict(self.homework, **more))

    def page(self, student) -> str:
        write_feedback(self.course, self.homework)
        return (self.course.work / "feedback" / student / "hw1" / "feedback.html").read_text()

    def gradebook(self, rows, comments=()):
        """A gradebook with nbgrader's tables, as far as they are read. rows: student, cell, auto, manual, needs."""
        with sqlite3.connect(self.course.work / "gradebook.db") as book:
            book.executescript("""
                CREATE TABLE assignment (id, name); INSERT INTO assignment VALUES (1, 'hw1');
                CREATE TABLE base_cell (id, name);
                CREATE TABLE submitted_assignment (id, assignment_id, student_id);
                CREATE TABLE submitted_notebook (id, assignment_id);
                CREATE TABLE grade (cell_id, notebook_id, auto_score, manual_score, extra_credit, needs_manual_grade);
                CREATE TABLE comment (cell_id, notebook_id, auto_comment, manual_comment);
            """)
            for student in {row[0] for row in rows} | {row[0] for row in comments}:
                book.execute("INSERT INTO submitted_assignment VALUES (?, 1, ?)", (student, student))
                book.execute("INSERT INTO submitted_notebook VALUES (?, ?)", (student, student))
            for student, cell, auto, manual, needs in rows:
                book.execute("INSERT OR IGNORE INTO base_cell VALUES (?, ?)", (f"{student}{cell}", cell))
                book.execute(
                    "INSERT INTO grade VALUES (?, ?, ?, ?, NULL, ?)", (f"{student}{cell}", student, auto, manual, needs)
                )
            for student, cell, text in comments:
                book.execute("INSERT INTO base_cell VALUES (?, ?)", (f"{student}{cell}c", cell))
                book.execute("INSERT INTO comment VALUES (?, ?, 'automatic', ?)", (f"{student}{cell}c", student, text))


@pytest.fixture
def klass(module_course, tmp_path):
    return Klass(replace(module_course, work=tmp_path / "course"))


class Elements(HTMLParser):
    """Tags with their attributes, the text in them, ids and inner links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.ids, self.links, self.text, self.open = [], [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        self.open += [] if tag in ("meta", "br", "link", "img") else [tag]
        if "id" in values:
            self.ids.append(values["id"])
        if values.get("href", "").startswith("#"):
            self.links.append(values["href"][1:])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "tags are closed in order"

    def handle_data(self, data):
        self.text += data if self.open and self.open[-1] != "style" else ""


def test_a_page_says_which_check_failed_why_and_where_to_read(klass):
    klass.add("kim", passed=1, of=4, notes=("the locked cell was edited",))
    text = Elements(klass.page("kim")).text
    for words in ("kim", "12.5 / 50", "Law 0", "A broken law (type A)", "the mean is off", "the locked cell was edited"):
        assert words in text
    assert "2024-03-24 19:00" in text, "the hand-in time is the course's, not UTC"
    assert "not marked yet" in text


def test_a_page_holds_no_secret_and_nobody_else(klass):
    klass.add("kim", problems=("look here",))
    klass.add("lee", problems=("somebody else's trouble",))
    page = klass.page("kim")
    key = next(question.key for question in klass.homework.questions if question.key)
    for secret in ("SEEDSEED", "KEYKEY", "SECRET DETAIL", "lee", "somebody else", "def test_", key):
        assert secret not in page
    assert "look here" in page


@pytest.mark.parametrize("kind", ["feedback", "overview"])
def test_everything_that_varies_is_escaped_and_nothing_is_loaded(klass, kind):
    klass.add("kim", notes=(EVIL, "\u202egnp.exe", "\x1b[31mred"), problems=(EVIL,))
    klass.gradebook([("kim", "w1_why", None, 3.0, 0)], [("kim", "w1_why", EVIL)])
    page = klass.page("kim")
    if kind == "overview":
        page = (klass.course.work / "reports/hw1/overview.html").read_text()
    elements = Elements(page)
    assert EVIL in elements.text
    assert not {"script", "iframe", "object", "link", "img"} & {tag for tag, _ in elements.tags}
    assert not any(name.startswith("on") for _, values in elements.tags for name in values)
    assert not any(value.startswith(("http", "//")) for _, values in elements.tags for value in values.values() if value)
    assert "\u202e" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("kind", ["feedback", "overview"])
def test_pages_can_be_used_without_eyes(klass, kind):
    klass.add("kim")
    page = klass.page("kim")
    if kind == "overview":
        page = (klass.course.work / "reports/hw1/overview.html").read_text()
    elements = Elements(page)
    assert ("html", {"lang": "en"}) in elements.tags
    assert elements.open == []
    assert len(elements.ids) == len(set(elements.ids))
    assert set(elements.links) <= set(elements.ids)
    tables = sum(tag == "table" for tag, _ in elements.tags)
    assert tables == sum(tag == "caption" for tag, _ in elements.tags) > 0
    assert all("scope" in values for tag, values in elements.tags if tag == "th")
    levels = [int(tag[1]) for tag, _ in elements.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no heading level is skipped"


def test_manual_scores_and_comments_come_from_the_gradebook(klass):
    klass.add("kim", passed=1, of=2)
    rows = [("kim", "w1_why", None, 17.5, 0), ("kim", "r_report", None, None, 1), ("kim", "q1_counter", 25, 40, 0)]
    klass.gradebook(rows, [("kim", "w1_why", "Well argued."), ("kim", "q1_counter-answer", "Nearly.")])
    marks = {mark.question.id: mark for mark in class_marks(klass.course, klass.homework)[0].marks}
    assert {name: mark.points for name, mark in marks.items()} == {
        "t1_pairs": 5, "q1_counter": 40, "w1_why": 17.5, "e1_train": 5, "r_report": None,
    }  # fmt: skip
    assert marks["q1_counter"].overruled == 25
    page = klass.page("kim")
    assert "Well argued." in page
    assert "Nearly." in page
    assert "automatic" not in page
    assert "the checks alone gave 25" in page


def test_what_the_grader_could_not_grade_is_no_zero(klass):
    klass.add("kim", passed=0, outcome=Outcome.INFRA_ERROR)
    marks = class_marks(klass.course, klass.homework)[0]
    assert len(marks.waiting) == len(klass.homework.questions)
    assert marks.possible == 0
    assert "not graded yet" in klass.page("kim")


def test_a_score_that_waits_for_review_is_not_shown_as_final(klass):
    klass.add("kim")
    klass.gradebook([("kim", "w1_why", None, 17.5, 1)])
    assert "w1_why" in [mark.question.id for mark in class_marks(klass.course, klass.homework)[0].waiting]


def test_the_table_adds_up_and_is_no_formula(klass):
    for student, passed in (("kim", 1), ("+lee", 2), ("@park", 0)):
        klass.add(student, passed=passed, notes=("=HYPERLINK(1)",))
    write_feedback(klass.course, klass.homework)
    text = (klass.course.work / "reports/hw1/class.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    names = [question.id for question in klass.homework.questions]
    for row in rows:
        assert float(row["points"]) == pytest.approx(sum(float(row[name] or 0) for name in names))
        assert row["possible so far"] == "70"
        assert row["waiting"] == "w1_why r_report"
        assert not any(value.startswith(("=", "+", "-", "@")) for value in row.values())
    assert {row["student"]: row["points"] for row in rows} == {"kim": "35", "'+lee": "70", "'@park": "0"}


def test_figures_of_the_class(klass):
    for student, passed in (("a", 2), ("b", 1), ("c", 0)):
        klass.add(student, passed=passed)
    figures = class_figures(klass.homework, class_marks(klass.course, klass.homework))
    counter = next(row for row in figures.questions if row.question.id == "q1_counter")
    assert (counter.marked, counter.full, counter.mean) == (3, 1, pytest.approx(0.5))
    assert figures.spread == (1, 0, 0, 0, 0, 1, 0, 0, 0, 1)
    assert sum(figures.spread) == figures.students == 3
    assert figures.mean == pytest.approx(0.5)
    assert figures.failing[0][1:] == ("A broken law (type A)", 3)


def test_an_empty_class_has_a_table_too(klass):
    assert write_feedback(klass.course, klass.homework) == []
    assert "0 <small>students" in (klass.course.work / "reports/hw1/overview.html").read_text()
    assert class_csv(klass.homework, []).count("\n") == 1


def test_a_second_run_writes_nothing_and_one_student_can_be_asked_for(klass):
    klass.add("kim")
    klass.add("lee")
    pages = write_feedback(klass.course, klass.homework, ["lee"])
    assert [page.parts[-3] for page in pages] == ["lee"]
    before = {path: path.stat().st_mtime_ns for path in klass.course.work.rglob("*") if path.is_file()}
    assert write_feedback(klass.course, klass.homework, ["lee"]) == pages
    assert before == {path: path.stat().st_mtime_ns for path in klass.course.work.rglob("*") if path.is_file()}


def test_the_terminals_table_shows_text_as_it_is(klass):
    klass.add("kim", notes=("[bold]notes[/bold] \x1b[31m",))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(class_table(class_marks(klass.course, klass.homework)))
    shown = console.export_text()
    assert "[bold]notes[/bold]" in shown
    assert "35 / 70" in shown
    assert "\x1b" not in shown


def test_text_report_reads_like_the_page():
    question = Question("q4_masked_conv", "Masked convolution", 8, reading="van den Oord 2016, 3.4")
    checks = (CheckResult("It holds", "A", 3, Outcome.OK), CheckResult("It holds", "B", 5, Outcome.FAILED, "some are lost"))
    lines = question_text(question, QuestionResult(8, checks)).splitlines()
    assert lines[0].split() == ["Q4", "Masked", "convolution", "3", "/", "8"]
    assert [line.split()[0] for line in lines[1:]] == ["passed", "failed", "some", "read:"]
    assert "read" not in question_text(question, QuestionResult(8, checks[:1]))


@given(st.floats(0, 1000))
def test_numbers_are_short_and_within_half_a_hundredth(value):
    assert float(number(value)) == pytest.approx(value, abs=0.0051)
    assert len(number(value).partition(".")[2]) <= 2


@given(st.text())
def test_visible_text_keeps_what_can_be_read(text):
    assert visible(visible(text)) == visible(text)
    assert [c for c in visible(text) if c.isalnum()] == [c for c in text if c.isalnum()]
