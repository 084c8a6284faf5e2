"""Where student code runs: a worker process that can compute and answer, and can do nothing else."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autograder.session import Backend


def make_backend(name: str) -> "Backend":
    """Start a back end by name: `bubblewrap`, or `inprocess` (no protection). Raises JailError when it can't hold."""
    if name == "inprocess":
        from autograder.jail.inprocess import InProcessBackend

        return InProcessBackend()
    from autograder.jail.bubblewrap import BubblewrapBackend

    return BubblewrapBackend()
