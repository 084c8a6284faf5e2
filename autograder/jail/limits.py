"""What a worker may use: plain numbers, and the calls that bind the current process to them."""

import ctypes
import os
import resource
from dataclasses import dataclass

MEGABYTE = 1 << 20
NAMESPACES = 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x40000000  # mount, pid, ipc, uts, net
_PRIVATE_RECURSIVE, _NOSUID_NODEV = 0x40000 | 0x4000, 0x2 | 0x4
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _SIGKILL = 1, 24, 9
_CAPABILITY_VERSION_3, _LAST_CAPABILITY = 0x20080522, 40
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Limits:
    """Bounds of one worker; sizes in bytes, times in seconds. `inodes` are (for /tmp, for /dev/shm)."""

    memory: int = 1536 * MEGABYTE
    processes: int = 64
    disk: int = 64 * MEGABYTE
    inodes: tuple[int, int] = (4096, 1024)
    files: int = 256
    cpu_seconds: int = 150


def check(result: int, what: str) -> None:
    """Raise OSError when a C call has failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def unshare_namespaces() -> None:
    """Own mounts, processes, System V IPC, host name and network, for this process's next child."""
    check(_libc.unshare(NAMESPACES), "unshare")


def mount_private(limits: Limits) -> None:
    """Empty, bounded /tmp and /dev/shm that no other worker sees."""
    check(_libc.mount(b"none", b"/", None, _PRIVATE_RECURSIVE, None), "make mounts private")
    for place, inodes in zip((b"/tmp", b"/dev/shm"), limits.inodes, strict=True):
        options = f"size={limits.disk},nr_inodes={inodes},mode=1777".encode()
        check(_libc.mount(b"tmpfs", place, b"tmpfs", _NOSUID_NODEV, options), f"mount {place.decode()}")


def die_with_parent() -> None:
    """Get SIGKILL when the parent ends."""
    check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "set the parent's death signal")


def set_resource_limits(limits: Limits, address_space: int) -> None:
    """rlimits. address_space: bytes already mapped, which come on top of the memory limit."""
    for kind, bound in (
        (resource.RLIMIT_AS, address_space + limits.memory),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(kind, (bound, bound))


def become_nobody(uid: int | None) -> None:
    """Give up every privilege: another real uid where the grader is root (uid given), and all capabilities."""
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "drop capabilities")
