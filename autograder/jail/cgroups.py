"""Control groups for workers, where this machine lets the grader make them: bounds on memory, processes and cores (one)."""

import contextlib
import os
import time
from pathlib import Path

from autograder.jail.limits import Limits

BASE = Path("/sys/fs/cgroup")
PREFIX = "autograder-"
PERIOD = 100_000  # microseconds; as much quota as period is one core


class ControlGroup:
    """A group for one worker. `create` returns None where control groups can't be had; rlimits hold all the same."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    @staticmethod
    def create(name: str, limits: Limits) -> "ControlGroup | None":
        """Make a group with the limits, in version 2's tree or version 1's."""
        try:
            folders = _create_v2(name, limits) if (BASE / "cgroup.controllers").exists() else _create_v1(name, limits)
        except OSError:
            return None
        return ControlGroup(folders)

    def add(self, pid: int) -> None:
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def out_of_memory(self) -> bool:
        """Whether the kernel killed a process of the group for its memory."""
        for name in ("memory.events", "memory.oom_control"):
            for folder in self.folders:
                with contextlib.suppress(OSError):
                    words = (folder / name).read_text().split()
                    return int(words[words.index("oom_kill") + 1]) > 0
        return False

    def processes(self) -> int:
        """How many processes the group holds; 0 when it can't be read."""
        with contextlib.suppress(OSError):
            return len((self.folders[0] / "cgroup.procs").read_text().split())
        return 0

    def remove(self, seconds: float = 2.0) -> None:
        """Remove the group once its processes are gone; what is left then is swept at the next start."""
        ends = time.monotonic() + seconds
        for folder in self.folders:
            while folder.exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                if time.monotonic() > ends:
                    return
                time.sleep(0.005)


def sweep() -> None:
    """Remove groups whose grader is gone; their name holds its process id."""
    for folder in (*BASE.glob(f"*/{PREFIX}*"), *BASE.glob(f"{PREFIX}*")):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def group_name(serial: int) -> str:
    """`autograder-<grader's pid>-<serial>`."""
    return f"{PREFIX}{os.getpid()}-{serial}"


def _create_v2(name: str, limits: Limits) -> list[Path]:
    folder = BASE / name
    folder.mkdir()
    (folder / "memory.max").write_text(str(limits.memory))
    (folder / "pids.max").write_text(str(limits.processes))
    (folder / "cpu.max").write_text(f"{PERIOD} {PERIOD}")
    with contextlib.suppress(OSError):
        (folder / "memory.swap.max").write_text("0")
    return [folder]


def _create_v1(name: str, limits: Limits) -> list[Path]:
    memory, pids, cpu = (BASE / kind / name for kind in ("memory", "pids", "cpu"))
    memory.mkdir()
    (memory / "memory.limit_in_bytes").write_text(str(limits.memory))
    pids.mkdir()
    (pids / "pids.max").write_text(str(limits.processes))
    cpu.mkdir()
    (cpu / "cpu.cfs_quota_us").write_text(str(PERIOD))
    return [memory, pids, cpu]
