"""Phase 1 orchestration: what changed is graded once, whatever dies."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import autograder.grade as grading
from autograder.checking import keys
from autograder.checking.keys import submission_key, tree_hash
from autograder.checking.verdicts import CheckResult, Outcome, QuestionResult, Verdict
from autograder.course import Course, CourseError, Homework, Question
from autograder.grade import grade, submitted_students
from autograder.grading.records import Records
from autograder.grading.worker import grade_chunk

HERE = Path(__file__)
SETUP = f"""
import importlib.util, os, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("test_grade", {str(HERE)!r})
laws = importlib.util.module_from_spec(spec); sys.modules["test_grade"] = laws; spec.loader.exec_module(laws)
laws.keys.environment_hash = lambda: "one environment"
"""


def small_course(root: Path, students: int = 3) -> tuple[Course, Homework]:
    """A course with one homework of two questions, and submissions that are one text file each."""
    path = root / "hw1_small"
    for folder in ("checks", "heldout"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    for file in ("rubric.toml", "solution.py", "checks/test_q1_a.py"):
        if not (path / file).exists():
            (path / file).write_text("1")
    now = datetime(2024, 3, 24, tzinfo=UTC)
    questions = (Question("q1_a", "First", 60), Question("q2_b", "Second", 40))
    homework = Homework("hw1", path, "Small", questions, now, now)
    course = Course(root, root / "course", {"timezone": "Asia/Seoul"}, (homework,))
    for number in range(students):
        folder = course.work / "submitted" / f"s{number}" / "hw1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "answer.txt").write_text(f"answer {number}")
    return course, homework


def toy_check(homework, folder, questions, backend):
    """Full points for every question asked for; does as the submission's text says, and logs the call."""
    text = (folder / "answer.txt").read_text()
    log = folder.parents[2] / "calls.log"
    with log.open("a") as file:
        file.write(f"{folder.parent.name} {','.join(questions) if questions else 'all'}\n")
    if "raise" in text:
        raise RuntimeError("a bug of the grader")
    if "die" in text:
        os._exit(1)
    if "slow" in text:
        time.sleep(0.3)
    if "once" in text and len([line for line in log.read_text().splitlines() if line.startswith(folder.parent.name)]) == 1:
        raise RuntimeError("the first time only")
    asked = [q for q in homework.questions if questions is None or q.id in questions]
    passed = (CheckResult("A law", "", 1.0, Outcome.OK),)
    seed = os.urandom(8).hex()
    return Verdict(
        homework="hw1", key=submission_key(homework, folder), seed=seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"), jail={"backend": backend},
        questions={q.id: QuestionResult(q.points, passed, seed) for q in asked}, submission=tree_hash(folder),
    )  # fmt: skip


def calls(course: Course) -> list[str]:
    log = course.work / "calls.log"
    return sorted(log.read_text().splitlines()) if log.exists() else []


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `grade` on the toy course in this process; returns students: graded, left to a person, known."""
    monkeypatch.setattr(grading, "_pool", lambda chunks, jobs: map(grade_chunk, chunks))
    monkeypatch.setattr(keys, "environment_hash", lambda: "one environment")

    def go(**arguments) -> tuple[list[str], list[str], list[str]]:
        keys.checks_hash.cache_clear()  # a new run is a new process
        course, homework = small_course(tmp_path, 0)
        found = grade(course, homework, check=toy_check, **arguments)
        return sorted(found.graded), sorted(found.infra), sorted(found.verdicts)

    return go


@pytest.fixture
def start(tmp_path):
    """Start `grade` on the toy course in a process of its own, with two workers."""
    script = tmp_path / "run.py"
    body = f"""
    toy_check = laws.toy_check
    if __name__ == "__main__":
        course, homework = laws.small_course(Path({str(tmp_path)!r}), 0)
        found = laws.grade(course, homework, check=toy_check, jobs=2)
        print(sorted(found.graded), sorted(found.infra), sorted(found.verdicts))
    """
    script.write_text(SETUP + textwrap.dedent(body))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[2])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return lambda: subprocess.Popen([sys.executable, script], env=environment, start_new_session=True, **pipes)


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


def test_grades_everyone_once_and_then_nothing(tmp_path, run):
    course, homework = small_course(tmp_path)
    everyone = ["s0", "s1", "s2"]
    assert run() == (everyone, [], everyone)
    assert run() == ([], [], everyone)
    assert calls(course) == ["s0 all", "s1 all", "s2 all"]
    assert Records(course.work, homework).read("s1").points == 100


def test_what_changed_is_graded_again_and_the_old_verdict_is_kept(tmp_path, run):
    course, homework = small_course(tmp_path)
    run()
    before = Records(course.work, homework).read("s1")
    (course.work / "submitted/s1/hw1/answer.txt").write_text("another answer")
    assert run()[0] == ["s1"]
    (homework.checks / "test_q1_a.py").write_text("2")
    assert run()[0] == ["s0", "s1", "s2"]
    records = Records(course.work, homework)
    assert len(records.history("s1")) == 2
    assert Verdict.from_json(records.history("s1")[0].read_text()) == before or (
        Verdict.from_json(records.history("s1")[1].read_text()) == before
    )
    assert len(records.history("s0")) == 1


def test_one_question_is_graded_again_and_merged(tmp_path, run):
    course, homework = small_course(tmp_path)
    run()
    before = Records(course.work, homework).read("s0")
    assert run(questions=["q2_b"], students=["s0"]) == (["s0"], [], ["s0"])
    assert calls(course).count("s0 q2_b") == 1
    verdict = Records(course.work, homework).read("s0")
    assert verdict.questions["q1_a"] == before.questions["q1_a"], "with the seed that explains its result"
    assert verdict.questions["q2_b"].seed == verdict.seed != before.seed
    assert set(verdict.questions) == {"q1_a", "q2_b"}
    assert verdict.points == 100
    assert run()[0] == [], "the merged verdict is up to date"


def test_one_question_of_a_changed_submission_means_all_questions(tmp_path, run):
    course, _ = small_course(tmp_path, 1)
    run()
    (course.work / "submitted/s0/hw1/answer.txt").write_text("a later attempt")
    run(questions=["q2_b"])
    assert calls(course) == ["s0 all", "s0 all"]


def test_questions_graded_by_older_checks_are_graded_again_by_a_full_run(tmp_path, run):
    _, homework = small_course(tmp_path, 1)
    run()
    (homework.checks / "test_q1_a.py").write_text("2")
    run(questions=["q1_a"])
    assert run()[0] == ["s0"], "q2_b still has its verdict from the old checks"
    assert run()[0] == []


def test_an_error_of_the_grader_is_retried_and_never_a_zero(tmp_path, run):
    course, homework = small_course(tmp_path)
    (course.work / "submitted/s0/hw1/answer.txt").write_text("raise")
    (course.work / "submitted/s1/hw1/answer.txt").write_text("once")
    everyone = ["s0", "s1", "s2"]
    assert run() == (everyone, ["s0"], everyone)
    assert [line for line in calls(course) if line.startswith("s0")] == ["s0 all", "s0 q1_a,q2_b"]
    records = Records(course.work, homework)
    assert records.read("s0").infra_errors == 2
    assert "a bug of the grader" in records.read("s0").questions["q1_a"].checks[0].detail
    assert records.read("s1").points == 100
    assert run()[:2] == (["s0"], ["s0"]), "the next run tries again"


def test_a_submission_that_kills_its_process_does_not_stop_the_class(tmp_path, start):
    course, homework = small_course(tmp_path, 5)
    (course.work / "submitted/s2/hw1/answer.txt").write_text("die")
    everyone = ["s0", "s1", "s2", "s3", "s4"]
    assert finish(start()) == f"{everyone} ['s2'] {everyone}"
    verdicts = [Records(course.work, homework).read(f"s{n}") for n in (0, 1, 3, 4)]
    assert [verdict.points for verdict in verdicts] == [100] * 4


def test_killed_at_any_point_it_goes_on_without_losing_or_doubling(tmp_path, start):
    course, homework = small_course(tmp_path, 8)
    for path in course.work.glob("submitted/*/hw1/answer.txt"):
        path.write_text("slow")
    done: dict[str, str] = {}
    for _ in range(2):
        process = start()
        _wait_for_more(course, len(done))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        found = {p.stem: p.read_text() for p in (course.work / "verdicts/hw1").glob("s*.json")}
        assert all(json.loads(text)["questions"] for text in found.values()), "a verdict file is complete or not there"
        assert done.items() <= found.items(), "a finished verdict was lost or changed"
        done = found
    assert finish(start()).endswith(str([f"s{n}" for n in range(8)]))
    records = Records(course.work, homework)
    assert all(records.read(f"s{n}").points == 100 for n in range(8))
    assert all(not records.history(f"s{n}") for n in range(8))
    assert {p.stem: p.read_text() for p in (course.work / "verdicts/hw1").glob("s*.json")}.items() >= done.items()


def _wait_for_more(course: Course, already: int) -> None:
    ends = time.monotonic() + 30
    while len(list((course.work / "verdicts/hw1").glob("s*.json"))) <= already and time.monotonic() < ends:
        time.sleep(0.02)


def test_when_the_grader_is_killed_its_workers_end(tmp_path, start):
    course, _ = small_course(tmp_path, 2)
    for path in course.work.glob("submitted/*/hw1/answer.txt"):
        path.write_text("slow")
    process = start()
    _wait_for_more(course, 0)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)  # returns when no worker holds the pipe any more
    assert _alive_in_group(process.pid) == []


def _alive_in_group(group: int) -> list[int]:
    """Processes of the group that still run; the dead that nobody has waited for don't count."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def test_two_runs_at_once_are_refused(tmp_path, start):
    course, homework = small_course(tmp_path, 1)
    (course.work / "submitted/s0/hw1/answer.txt").write_text("slow " * 3)
    process = start()
    while not (course.work / "calls.log").exists():
        time.sleep(0.02)
    with pytest.raises(CourseError, match="another run"):
        grade(course, homework)
    finish(process)


def test_unknown_students_and_questions_are_named(tmp_path):
    course, homework = small_course(tmp_path)
    with pytest.raises(CourseError, match="nobody"):
        grade(course, homework, students=["nobody"])
    with pytest.raises(CourseError, match="q9_x"):
        grade(course, homework, questions=["q9_x"])
    assert submitted_students(course, homework) == ["s0", "s1", "s2"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', "\x00"])
def test_a_damaged_verdict_counts_as_none(tmp_path, damage):
    course, homework = small_course(tmp_path, 1)
    records = Records(course.work, homework)
    records.folder.mkdir(parents=True)
    (records.folder / "s0.json").write_text(damage)
    assert records.read("s0") is None
    records.write("s0", toy_check(homework, course.work / "submitted/s0/hw1", None, "none"))
    assert records.read("s0").points == 100
