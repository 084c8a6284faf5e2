"""The grader's end of one worker: frames with an absolute deadline, and a sure end."""

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

from autograder.checking.verdicts import Outcome
from autograder.jail import wire
from autograder.jail.cgroups import ControlGroup
from autograder.session import CheckStopped

CHUNK = 1 << 20
ENDED = {
    Outcome.CRASH: "your code ended the Python process: os._exit, a crash in compiled code, or endless recursion",
    Outcome.MEMORY: "your code asked for more memory than a check may use (1.5 GB)",
    Outcome.FLOOD: "your code returned far more data than the question asks for",
    Outcome.PROTOCOL: "your code disturbed the connection to the grader",
}


class JailConnection:
    """A live worker behind a socket. Any trouble ends the worker and raises CheckStopped with the right outcome."""

    def __init__(self, channel: socket.socket, pidfd: int, group: ControlGroup | None) -> None:
        self._channel, self._pidfd, self._group = channel, pidfd, group
        self._open = True

    def request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its answer, `seconds` in all."""
        ends = time.monotonic() + seconds
        try:
            self._send(message, ends)
            answer = self._receive(ends)
            if not isinstance(answer, dict):
                raise wire.ProtocolError("the answer is no mapping")
        except TimeoutError:
            raise self._lost(Outcome.TIMEOUT, f"it took longer than {seconds:.0f} s") from None
        except wire.FloodError:
            raise self._lost(Outcome.FLOOD) from None
        except wire.ProtocolError:
            raise self._lost(Outcome.PROTOCOL) from None
        except (EOFError, OSError):
            starved = self._group is not None and self._group.out_of_memory()
            raise self._lost(Outcome.MEMORY if starved else Outcome.CRASH) from None
        return self._checked(answer)

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        error = answer.get("error")
        if isinstance(error, dict) and error.get("type") in ("MemoryError", "FloodError"):
            raise self._lost(Outcome.MEMORY if error["type"] == "MemoryError" else Outcome.FLOOD)
        return answer

    def close(self) -> None:
        """Kill the worker and everything it started; wait until it is gone."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        select.select([self._pidfd], [], [], 5.0)
        os.close(self._pidfd)
        self._channel.close()
        if self._group is not None:
            self._group.remove()

    def _lost(self, outcome: Outcome, sentence: str = "") -> CheckStopped:
        self.close()
        return CheckStopped(outcome, sentence or ENDED[outcome])

    def _send(self, message: dict[str, Any], ends: float) -> None:
        prefixed, blobs = wire.encode(message)
        for part in (prefixed, *blobs):
            self._channel.settimeout(_left(ends))
            self._channel.sendall(part)

    def _receive(self, ends: float) -> Any:
        header_size, blob_size = wire.PREFIX.unpack(self._exactly(wire.PREFIX.size, ends))
        if header_size > wire.MAX_HEADER or blob_size > wire.MAX_BLOB:
            raise wire.FloodError("the frame is over the limits")
        return wire.decode(self._exactly(header_size, ends), self._exactly(blob_size, ends))

    def _exactly(self, size: int, ends: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._channel.settimeout(_left(ends))
            chunk = self._channel.recv(min(size - len(parts), CHUNK))
            if not chunk:
                raise EOFError
            parts += chunk
        return bytes(parts)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
