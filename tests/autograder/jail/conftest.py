"""One sandbox for all tests of this folder: starting it takes seconds."""

import pytest

from autograder.jail.bubblewrap import BubblewrapBackend
from autograder.session import Session, Student


@pytest.fixture(scope="package")
def backend():
    made = BubblewrapBackend()
    yield made
    made.close()


@pytest.fixture
def student_of(backend):
    """student_of("source", ...) -> Student whose cells c0, c1, ... hold these sources."""
    sessions = []

    def make(*sources, checkpoints=None):
        session = Session(backend, [(f"c{i}", source) for i, source in enumerate(sources)], checkpoints or {})
        sessions.append(session)
        return Student(session)

    yield make
    for session in sessions:
        session.fresh()
