"""One grading run at a time on one folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.course import CourseError


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system drops it when this process ends, however it ends.

    Raises CourseError when another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CourseError(f"another run is grading into {folder}; wait until it has ended") from None
        yield
