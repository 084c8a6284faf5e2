"""The pytest plugin of the hidden checks: the fixtures `student`, `rng` and `heldout`.

    pytest hw1_autoregressive/checks                          # the reference
    pytest hw1_autoregressive/checks --submission PATH        # one submission's folder
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

    from autograder.course import Homework
    from autograder.session import Student

EXPERIMENT_SECONDS = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograder")
    group.addoption("--submission", help="folder of the submission to check (default: the reference solution)")
    group.addoption("--backend", default="bubblewrap", choices=["bubblewrap", "inprocess"], help="where student code runs")
    group.addoption("--check-seed", help="secret seed of a verdict, to repeat its random inputs")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "weight(points): share of the question's points that this check carries")


@pytest.fixture(scope="session")
def check_seed(request: pytest.FixtureRequest) -> str:
    """The seed that every check's random inputs derive from; fresh for each run, logged for appeals."""
    return request.config.getoption("--check-seed") or secrets.token_hex(16)


@pytest.fixture(scope="session")
def submission_session(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One session for the whole run: the caller's own, or one made from --submission."""
    given = getattr(request.config, "autograder_session", None)
    if given is not None:
        yield given
        return
    from autograder.checking.run import open_session

    folder = request.config.getoption("--submission")
    with open_session(homework_of(request.session.items[0].path), folder and Path(folder),
                      request.config.getoption("--backend")) as session:  # fmt: skip
        yield session


@pytest.fixture(scope="module")
def question_session(request: pytest.FixtureRequest, submission_session: Any) -> Any:
    """The session with a fresh worker for this question."""
    from autograder.session import CALL_SECONDS

    question = question_of(request.path)
    submission_session.fresh()
    submission_session.call_seconds = EXPERIMENT_SECONDS if question.startswith("e") else CALL_SECONDS
    return submission_session


@pytest.fixture
def student(request: pytest.FixtureRequest, question_session: Any) -> Iterator["Student"]:
    """The submission: `student.Name(...)` runs in the jail."""
    from autograder.checking.verdicts import Outcome
    from autograder.session import CheckStopped, Student

    question_session.load()
    question = homework_of(request.path).question(question_of(request.path))
    for needed in question.needs:
        if needed in question_session.broken and question.id not in question_session.broken:
            raise CheckStopped(Outcome.SKIPPED, f"it needs {needed}, and {question_session.broken[needed]}")
    yield Student(question_session)
    with suppress(CheckStopped):  # the worker may be gone; the next check gets another one
        question_session.forget()


@pytest.fixture
def rng(request: pytest.FixtureRequest, check_seed: str) -> "torch.Generator":
    """A generator of its own for each check and case, derived from the secret seed."""
    import torch

    digest = hashlib.sha256(f"{check_seed} {request.path.name} {request.node.name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@pytest.fixture
def heldout(request: pytest.FixtureRequest) -> Callable[[str], dict[str, "torch.Tensor"]]:
    """`heldout("fashion")`: the arrays of heldout/fashion.npz as tensors; they never enter a student's bundle."""
    import numpy as np
    import torch

    def load(name: str) -> dict[str, "torch.Tensor"]:
        with np.load(homework_of(request.path).heldout / f"{name}.npz") as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files if arrays[key].dtype.kind in "biuf"}

    return load


def question_of(path: Path) -> str:
    """test_q4_masked_conv.py -> q4_masked_conv."""
    return path.stem.removeprefix("test_")


@cache
def homework_of(path: Path) -> "Homework":
    """The homework whose checks folder holds this file; CourseError when none does."""
    from autograder.course import CourseError, load_course

    for homework in load_course().homeworks:
        if homework.checks == path.parent:
            return homework
    raise CourseError(f"{path} stands in no homework's checks folder")
