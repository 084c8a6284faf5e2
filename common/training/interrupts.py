"""Stop at a step's end, not in its midst: half an optimiser step can't be resumed exactly."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Inside the block the first Ctrl-C (or a notebook's stop button) only sets `asked`; a second one raises.

    Signals reach Python's main thread alone, so in other threads this changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
