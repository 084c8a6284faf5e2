"""Phase 1: run the hidden checks on every submission that needs it, in parallel, without a database.

The unit of work is a chunk: a function of paths to verdict files that may run twice without harm. A verdict file is
complete or not there, so a run that was killed at any point goes on where it stopped.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from autograder.checking.keys import submission_key
from autograder.checking.verdicts import Verdict
from autograder.course import Course, CourseError, Homework
from autograder.grading.lock import only_one
from autograder.grading.records import Records
from autograder.grading.worker import Check, Chunk, grade_chunk, infra_verdict, run_check, store, watch_parent

Progress = Callable[[int, int, str, Verdict], None]


@dataclass
class Grading:
    """What a run found. verdicts: of all students asked for. graded: those whom it graded now."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    graded: list[str] = field(default_factory=list)

    @property
    def infra(self) -> list[str]:
        """Students whose grading failed twice by the grader's own fault: they have no score, a person must look."""
        return [student for student, verdict in self.verdicts.items() if verdict.infra_errors]


def submitted_students(course: Course, homework: Homework) -> list[str]:
    """Students with a collected submission of the homework, sorted."""
    return sorted(path.parent.name for path in (course.work / "submitted").glob(f"*/{homework.name}") if path.is_dir())


def grade(
    course: Course, homework: Homework, students: Iterable[str] | None = None, questions: Iterable[str] | None = None,
    jobs: int | None = None, progress: Progress | None = None, backend: str = "bubblewrap", check: Check = run_check,
) -> Grading:  # fmt: skip
    """Bring the verdicts of a class up to date.

    students: default all that handed in. questions: grade these again, changed or not, and merge; default: what has
    changed (submission, checks or environment). jobs: processes, default one for each core. progress: called with (done,
    total, student, verdict). backend: of the jail. check: what grades one folder.
    Raises CourseError for students without a submission, unknown questions, and when another run is at work.
    """
    wanted = _students(course, homework, students)
    asked = tuple(homework.question(question).id for question in questions) if questions is not None else None
    records = Records(course.work, homework)
    with only_one(records.folder):
        todo = {student: _open_questions(course, homework, records, student, asked, backend) for student in wanted}
        todo = {student: wanted for student, wanted in todo.items() if wanted is None or wanted}
        chunks = [Chunk(homework, course.work, student, todo[student], backend, check) for student in todo]
        for done, student in enumerate(_run(chunks, jobs or len(os.sched_getaffinity(0))), 1):
            if progress is not None:
                progress(done, len(chunks), student, records.read(student))
    verdicts = {student: records.read(student) for student in wanted}
    return Grading({student: verdict for student, verdict in verdicts.items() if verdict}, list(todo))


def _students(course: Course, homework: Homework, students: Iterable[str] | None) -> list[str]:
    known = submitted_students(course, homework)
    if students is None:
        return known
    wanted = sorted(set(students))
    if missing := [student for student in wanted if student not in known]:
        folder = course.work / "submitted"
        raise CourseError(f"no submission of {homework.name} in {folder} by {', '.join(missing)}; collect it first")
    return wanted


def _open_questions(
    course: Course, homework: Homework, records: Records, student: str, asked: tuple[str, ...] | None, backend: str
) -> tuple[str, ...] | None:
    """Which questions of a student to grade: None for all, () for nothing."""
    folder = course.work / "submitted" / student / homework.name
    verdict = records.read(student)
    if verdict is None or verdict.jail.get("backend") != backend:
        return None
    if asked is not None:
        return asked if records.covers(verdict, folder) else None
    if verdict.key != submission_key(homework, folder):
        return None
    return tuple(name for name, question in verdict.questions.items() if question.infra_errors)


def _run(chunks: list[Chunk], jobs: int) -> Iterator[str]:
    """Grade chunks in parallel; yields each student when its verdict is on disk.

    When a process dies, nobody knows by which submission: those that are left run alone, each in a process of its own, and
    the one that kills its process again is recorded as INFRA_ERROR.
    """
    left = {chunk.student: chunk for chunk in chunks}
    try:
        for student in _pool(list(left.values()), jobs):
            del left[student]
            yield student
    except BrokenProcessPool:
        for chunk in list(left.values()):
            try:
                yield from _pool([chunk], 1)
            except BrokenProcessPool:
                store(chunk, infra_verdict(chunk, "the grading process died twice on this submission"))
                yield chunk.student


def _pool(chunks: list[Chunk], jobs: int) -> Iterator[str]:
    if not chunks:
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(chunks)), mp_context=spawn, initializer=watch_parent) as pool:
        futures = [pool.submit(grade_chunk, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
