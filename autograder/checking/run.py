"""Run a homework's hidden checks on one submission: pytest in this process, student code in the jail."""

import secrets
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.build import reference_notebook
from autograder.checking.keys import submission_key, tree_hash
from autograder.checking.plugin import question_of
from autograder.checking.verdicts import CheckResult, Outcome, QuestionResult, Verdict
from autograder.course import Homework
from autograder.jail import make_backend
from autograder.session import Backend, CheckStopped, Session, StudentError
from autograder.submission import Submission, read_submission

WRONG_KIND = "the values that came back have another type or shape than the handout asks for"
CLAIM_ERRORS = (TypeError, ValueError, AttributeError, IndexError, KeyError, RuntimeError, ArithmeticError)


def check_submission(
    homework: Homework, folder: Path, questions: Iterable[str] | None = None, seed: str | None = None,
    backend: Backend | None = None,
) -> Verdict:  # fmt: skip
    """The verdict on one submission's folder.

    questions: ids to check (default: all that machines grade). seed: hex; fresh when None. backend: who runs student code;
    one is started and closed here when None. Student code can make this neither raise nor hang.
    """
    submission = read_submission(folder, homework, released(homework))
    return check(homework, submission, questions, seed, backend)


def check(
    homework: Homework, submission: Submission, questions: Iterable[str] | None = None, seed: str | None = None,
    backend: Backend | None = None,
) -> Verdict:  # fmt: skip
    """Like `check_submission`, for a submission that has been read."""
    wanted = [q for q in homework.machine_graded if questions is None or q.id in set(questions)]
    seed, started = seed or secrets.token_hex(16), time.monotonic()
    with _borrow(backend) as backend:
        session = _session(submission, backend)
        collector = Collector(session)
        if submission.notebook is None:
            nothing = CheckResult("The notebook can be read", "", 1.0, Outcome.FAILED, "; ".join(submission.problems))
            collector.results = {q.id: [nothing] for q in wanted}
        else:
            run_checks([homework.checks / f"test_{q.id}.py" for q in wanted], collector, seed)
    return Verdict(
        homework=homework.name,
        key=submission_key(homework, submission.folder),
        seed=seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        jail={"backend": backend.name, "guarantees": list(backend.guarantees)},
        questions={q.id: QuestionResult(q.points, tuple(collector.results.get(q.id, ())), seed) for q in wanted},
        notes=(*submission.notes, *session.broken.values()),
        problems=submission.problems,
        seconds=round(time.monotonic() - started, 3),
        submission=tree_hash(submission.folder),
    )


def run_checks(files: list[Path], collector: "Collector", seed: str) -> None:
    """Run check files with our plugin alone; every result ends in the collector."""
    # Plain asserts: a rewritten one would append values of hidden inputs to the sentence.
    unused = ("terminal", "cacheprovider", "logging", "faulthandler", "capture", "junitxml", "unraisableexception")
    options = ["--assert=plain", "--import-mode=importlib", "-c", "/dev/null", f"--rootdir={files[0].parents[2]}"]
    options += ["--disable-plugin-autoload", *(word for name in unused for word in ("-p", f"no:{name}"))]
    plugins = ["autograder.checking.plugin", collector]
    code = pytest.main([*options, f"--check-seed={seed}", *map(str, files)], plugins=plugins)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"the checks did not run: pytest ended with {code!r}; {collector.trouble}")


class Collector:
    """A pytest plugin that turns reports into CheckResults, by question."""

    def __init__(self, session: Session) -> None:
        self.session, self.results, self.trouble = session, {}, ""
        self._cases: Counter[str] = Counter()

    def pytest_configure(self, config: pytest.Config) -> None:
        config.autograder_session = self.session
        config.option.tbstyle = "native"  # the long style reads and parses source for 0.1 s a failure

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._cases.update(_function_id(item) for item in items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.trouble += str(report.longrepr)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
        report = yield
        if call.when == "call" or call.excinfo is not None:
            self._record(item, call)
        return report

    def _record(self, item: pytest.Item, call: pytest.CallInfo) -> None:
        error = call.excinfo.value if call.excinfo else None
        outcome, sentence, detail = judge(error, item.path)
        marker = item.get_closest_marker("weight")
        share = (marker.args[0] if marker else 1) / self._cases[_function_id(item)]
        name = (item.function.__doc__ or item.name).strip().split("\n")[0]
        case = item.callspec.id if hasattr(item, "callspec") else ""
        result = CheckResult(name, case, share, outcome, sentence, round(call.duration, 3), detail)
        self.results.setdefault(question_of(item.path), []).append(result)


def judge(error: BaseException | None, path: Path) -> tuple[Outcome, str, str]:
    """Outcome, the student's sentence and the staff's detail for what a check raised.

    An error in the check's own lines while it handles values from the jail means values of the wrong kind: the reference
    is known to pass. An error anywhere else is the grader's own fault.
    """
    if error is None:
        return Outcome.OK, "", ""
    if isinstance(error, CheckStopped):
        return error.outcome, str(error), ""
    if isinstance(error, StudentError):
        return Outcome.STUDENT_ERROR, str(error), ""
    if isinstance(error, AssertionError):
        return Outcome.FAILED, str(error) or "the property does not hold", ""
    detail = "".join(traceback.format_exception(error))[-4000:]
    frames = traceback.extract_tb(error.__traceback__)
    in_check = any(frame.filename == str(path) for frame in frames)
    if in_check and isinstance(error, CLAIM_ERRORS) and not any("autograder/session" in f.filename for f in frames):
        return Outcome.FAILED, WRONG_KIND, detail
    return Outcome.INFRA_ERROR, "the grader itself failed here; a person will look at it", detail


def _function_id(item: pytest.Item) -> str:
    return item.nodeid.split("[")[0]


@contextmanager
def open_session(homework: Homework, folder: Path | None, backend: str) -> Iterator[Session]:
    """A session on a submission's folder, or on the reference when `folder` is None; for plain pytest runs."""
    made = make_backend(backend)
    with tempfile.TemporaryDirectory() as scratch:
        folder = folder or hand_in(homework, reference_notebook(homework), Path(scratch))
        try:
            yield _session(read_submission(folder, homework, released(homework)), made)
        finally:
            made.close()


def released(homework: Homework) -> NotebookNode:
    """The starter notebook as students got it."""
    return nbformat.read(homework.starter, as_version=4)


def hand_in(homework: Homework, notebook: NotebookNode, folder: Path, checkpoints: bool = True) -> Path:
    """Write a notebook, and the reference's checkpoints, as a student would hand them in; returns the folder."""
    if checkpoints and homework.checkpoints.is_dir():
        shutil.copytree(homework.checkpoints, folder / "artifacts", dirs_exist_ok=True)
    nbformat.write(notebook, folder / f"{homework.name}.ipynb")
    return folder


def _session(submission: Submission, backend: Backend) -> Session:
    return Session(backend, [(cell.name, cell.source) for cell in submission.cells], submission.checkpoints)


def _borrow(backend: Backend | None) -> AbstractContextManager[Backend]:
    return nullcontext(backend) if backend is not None else closing(make_backend("bubblewrap"))
