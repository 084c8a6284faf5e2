"""No jail at all: the worker in the grader's own process. For authors' own code and for measuring the jail's cost only."""

from typing import Any

from autograder.jail import wire
from autograder.jail.worker import Worker


class InProcessBackend:
    """Runs the same worker through the same wire format, without any protection; stamped `unsafe` on every verdict."""

    name = "inprocess"
    guarantees: tuple[str, ...] = ()

    def start(self) -> "InProcessConnection":
        return InProcessConnection()

    def close(self) -> None:
        """Nothing to end."""


class InProcessConnection:
    """A worker that is called directly; time limits do not hold."""

    starved = 0.0

    def __init__(self) -> None:
        self._worker = Worker()

    def request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        answer = self._worker.answer(_cross(message, None))
        return _cross(answer, self._worker.refer)

    def close(self) -> None:
        """Nothing to end."""


def _cross(value: Any, opaque: Any) -> Any:
    """The value as it comes out at the other end of the wire."""
    prefixed, blobs = wire.encode(value, opaque)
    return wire.decode(prefixed[wire.PREFIX.size :], b"".join(blobs))
