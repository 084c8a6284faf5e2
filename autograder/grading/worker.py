"""The work of one grading process: a chunk of paths in, a verdict file out."""

import multiprocessing
import os
import secrets
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.checking.keys import submission_key, tree_hash
from autograder.checking.verdicts import CheckResult, Outcome, QuestionResult, Verdict
from autograder.course import Homework
from autograder.grading.records import Records

if TYPE_CHECKING:
    from autograder.session import Backend

HARD_LIMIT = 600.0  # seconds for one submission; the session's own limits are far below
SENTENCE = "the grader itself failed here; a person will look at it"
Check = Callable[[Homework, Path, Iterable[str] | None, str], Verdict]


@dataclass(frozen=True)
class Chunk:
    """One submission to grade. questions: None for all. backend: of the jail. check: what grades one folder."""

    homework: Homework
    work: Path
    student: str
    questions: tuple[str, ...] | None
    backend: str
    check: Check

    @property
    def folder(self) -> Path:
        return self.work / "submitted" / self.student / self.homework.name


def run_check(homework: Homework, folder: Path, questions: Iterable[str] | None, backend: str) -> Verdict:
    """Run the hidden checks, on a back end that this process starts once and keeps."""
    from autograder.checking.run import check_submission  # imports torch and pytest, which only this process needs

    return check_submission(homework, folder, questions, backend=_backend(backend))


@cache
def _backend(name: str) -> "Backend":
    from autograder.jail import make_backend

    backend = make_backend(name)
    Finalize(None, backend.close, exitpriority=10)
    return backend


def grade_chunk(chunk: Chunk) -> str:
    """Grade one submission, again where the grader itself failed, and write its verdict; returns the student."""
    guard = threading.Timer(HARD_LIMIT, os._exit, (70,))
    guard.daemon = True
    guard.start()
    try:
        verdict = _attempt(chunk)
        if open_questions := tuple(name for name, q in verdict.questions.items() if q.infra_errors):
            verdict = verdict.merged(_attempt(replace(chunk, questions=open_questions)))
    finally:
        guard.cancel()
    store(chunk, verdict)
    return chunk.student


def store(chunk: Chunk, verdict: Verdict) -> None:
    """Write a chunk's verdict, merged into the current one where only some questions were asked for."""
    records = Records(chunk.work, chunk.homework)
    old = records.read(chunk.student)
    merge = chunk.questions is not None and old is not None
    records.write(chunk.student, _merged(old, verdict) if merge else verdict)


def _attempt(chunk: Chunk) -> Verdict:
    try:
        return chunk.check(chunk.homework, chunk.folder, chunk.questions, chunk.backend)
    except Exception:  # whatever happens to one submission, the class goes on
        return infra_verdict(chunk, traceback.format_exc()[-4000:])


def _merged(old: Verdict, newer: Verdict) -> Verdict:
    """Old and new findings together. Where the checks have changed since, no key fits both: a full run grades all again."""
    merged = old.merged(newer)
    return merged if old.key == newer.key else replace(merged, key="")


def infra_verdict(chunk: Chunk, detail: str) -> Verdict:
    """A verdict that gives no points and takes none: every question waits for a person."""
    failed = CheckResult("The grader", "", 1.0, Outcome.INFRA_ERROR, SENTENCE, detail=detail)
    asked = [q for q in chunk.homework.machine_graded if chunk.questions is None or q.id in chunk.questions]
    return Verdict(
        homework=chunk.homework.name,
        key=submission_key(chunk.homework, chunk.folder),
        seed=secrets.token_hex(16),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        jail={"backend": chunk.backend},
        questions={question.id: QuestionResult(question.points, (failed,)) for question in asked},
        problems=(SENTENCE,),
        submission=tree_hash(chunk.folder),
    )


def watch_parent() -> None:
    """End this process when the one that started it is gone, so that kill -9 leaves nothing behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(70)
