"""The grader's end of one worker: frames with an absolute deadline, and a sure end.

Time is counted fairly: what the kernel let the worker or the grader wait for a free core (`/proc/<pid>/schedstat`) is not the
student's, so a busy machine turns no right answer into a TIMEOUT; time asleep is. The grace is bounded, and a worker that has
started processes of its own gets none, since it may be waiting for those.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.checking.verdicts import Outcome
from autograder.jail import wire
from autograder.jail.cgroups import ControlGroup
from autograder.session import CheckStopped

CHUNK = 1 << 20
MOST_GRACE = 4.0  # times the limit itself
ENDED = {
    Outcome.CRASH: "your code ended the Python process: os._exit, a crash in compiled code, or endless recursion",
    Outcome.MEMORY: "your code asked for more memory than a check may use (1.5 GB)",
    Outcome.FLOOD: "your code returned far more data than the question asks for",
    Outcome.PROTOCOL: "your code disturbed the connection to the grader",
}


class JailConnection:
    """A live worker behind a socket. Any trouble ends the worker and raises CheckStopped with the right outcome."""

    def __init__(self, channel: socket.socket, pidfd: int, pid: int, group: ControlGroup | None) -> None:
        self._channel, self._pidfd, self._group = channel, pidfd, group
        self._pids = (pid, os.getpid())
        self._open = True
        self.starved = 0.0

    def request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its answer, `seconds` in all. What the machine withheld adds to `starved`."""
        deadline = Deadline(seconds, self._pids, self._alone)
        try:
            self._send(message, deadline)
            answer = self._receive(deadline)
            if not isinstance(answer, dict):
                raise wire.ProtocolError("the answer is no mapping")
        except TimeoutError:
            raise self._lost(Outcome.TIMEOUT, f"it took longer than {seconds:.0f} s") from None
        except wire.FloodError:
            raise self._lost(Outcome.FLOOD) from None
        except wire.ProtocolError:
            raise self._lost(Outcome.PROTOCOL) from None
        except (EOFError, OSError):
            killed = self._group is not None and self._group.out_of_memory()
            raise self._lost(Outcome.MEMORY if killed else Outcome.CRASH) from None
        finally:
            self.starved += deadline.starved
        return self._checked(answer)

    def _alone(self) -> bool:
        return self._group is None or self._group.processes() <= 1

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

    def _send(self, message: dict[str, Any], deadline: "Deadline") -> None:
        prefixed, blobs = wire.encode(message)
        for part in (prefixed, *blobs):
            view = memoryview(part)
            while view:
                deadline.wait(self._channel, select.POLLOUT)
                view = view[self._channel.send(view, socket.MSG_DONTWAIT) :]

    def _receive(self, deadline: "Deadline") -> Any:
        header_size, blob_size = wire.PREFIX.unpack(self._exactly(wire.PREFIX.size, deadline))
        if header_size > wire.MAX_HEADER or blob_size > wire.MAX_BLOB:
            raise wire.FloodError("the frame is over the limits")
        return wire.decode(self._exactly(header_size, deadline), self._exactly(blob_size, deadline))

    def _exactly(self, size: int, deadline: "Deadline") -> bytes:
        parts = bytearray()
        while len(parts) < size:
            deadline.wait(self._channel, select.POLLIN)
            chunk = self._channel.recv(min(size - len(parts), CHUNK), socket.MSG_DONTWAIT)
            if not chunk:
                raise EOFError
            parts += chunk
        return bytes(parts)


class Deadline:
    """`seconds` from now, plus the time in which these processes were ready to run and got no core."""

    def __init__(self, seconds: float, pids: tuple[int, ...], deserved: Callable[[], bool]) -> None:
        self._pids, self._before, self._deserved = pids, _waited(pids), deserved
        self._ends, self._most = time.monotonic() + seconds, MOST_GRACE * seconds
        self.starved = 0.0

    def wait(self, channel: socket.socket, event: int) -> None:
        """Return when the channel is ready for the event; TimeoutError when the time is up."""
        poll = select.poll()
        poll.register(channel, event)
        while True:
            left = self._ends + self.starved - time.monotonic()
            if left > 0 and poll.poll(1000 * left):
                return
            if left <= 0:
                self._extend()

    def _extend(self) -> None:
        starved = min(_waited(self._pids) - self._before, self._most)
        if starved < self.starved + 0.01 or not self._deserved():
            raise TimeoutError
        self.starved = starved


def _waited(pids: tuple[int, ...]) -> float:
    """Seconds that the processes' main threads have waited for a core so far; 0 where the kernel does not tell."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    return total / 1e9
