"""What student code can't do in the jail, and how its end is told."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from autograder.checking.verdicts import Outcome
from autograder.session import CheckStopped, StudentError

SCRIBBLE = """import os
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, bytes(64))
        except OSError:
            pass"""


def outcome_of(call, *args):
    """The outcome that a call into the jail ends in."""
    with pytest.raises(CheckStopped) as stop:
        call(*args)
    return stop.value.outcome


def test_no_socket_of_any_family(student_of):
    source = """
import socket
def opened():
    found = []
    for family in range(64):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                socket.socket(family, kind)
                found.append(family)
            except OSError:
                pass
    return found
"""
    assert student_of(source).opened() == []


def test_sees_no_checks_no_course_no_host(student_of, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("answers")
    source = """
import os
def readable(paths):
    found = []
    for path in paths:
        try:
            os.listdir(path) if os.path.isdir(path) else open(path).read()
            found.append(path)
        except OSError:
            pass
    return found
def tree(path):
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
def environment():
    return dict(os.environ)
"""
    root = Path(__file__).resolve().parents[3]
    student = student_of(source)
    hidden = [str(root / name) for name in ("hw1_autoregressive", "autograder", "course.toml", "tests", ".git", "course")]
    hidden += [str(secret), "/proc/1/cmdline", "/proc/self/environ", "/etc/passwd", str(Path.home() / ".ssh")]
    assert student.readable(hidden) == []
    assert [p for p in student.tree("/jail/autograder") if "checking" in p or "session" in p] == []
    assert len(student.tree("/jail/autograder")) == 7
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in student.environment()


def test_another_user_without_capabilities(student_of):
    source = """
import ctypes, os
def identity():
    libc = ctypes.CDLL(None, use_errno=True)
    data = (ctypes.c_uint32 * 6)()
    libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)
    return os.getuid(), list(data), libc.prctl(39, 0, 0, 0, 0)
def refused():
    libc = ctypes.CDLL(None, use_errno=True)
    calls = {
        "unshare": lambda: libc.unshare(0x10000000),
        "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "chroot": lambda: libc.chroot(b"/tmp"),
        "ptrace": lambda: libc.ptrace(16, 1, 0, 0),
        "keyctl": lambda: libc.syscall(250, 0, 0),
        "bpf": lambda: libc.syscall(321, 0, 0, 0),
        "io_uring": lambda: libc.syscall(425, 1, 0),
        "setuid": lambda: libc.setuid(0) if os.getuid() else -1,
    }
    return [name for name, call in calls.items() if call() != -1]
"""
    student = student_of(source)
    uid, capabilities, no_new_privileges = student.identity()
    assert capabilities == [0] * 6
    assert no_new_privileges == 1
    if os.geteuid() == 0:
        assert uid >= 700_000
    assert student.refused() == []


def test_writes_only_to_its_own_small_places(student_of):
    source = """
import os
def writable(paths):
    found = []
    for path in paths:
        try:
            with open(os.path.join(path, "x"), "w") as file:
                file.write("x")
            found.append(path)
        except OSError:
            pass
    return found
def fill(path):
    total = 0
    try:
        for number in range(20):
            with open(f"{path}/{number}", "wb") as file:
                for _ in range(20):
                    total += file.write(bytes(1_000_000))
    except OSError:
        pass
    return total
def inodes(path):
    count = 0
    try:
        for count in range(10_000):
            open(f"{path}/f{count}", "w").close()
    except OSError:
        return count
"""
    student = student_of(source)
    places = ["/", "/usr", "/jail", "/jail/common", "/dev", "/proc", "/etc", "/tmp", "/dev/shm"]
    assert student.writable(places) == ["/tmp", "/dev/shm"]
    assert student.fill("/tmp") <= 70_000_000
    assert student.inodes("/dev/shm") <= 1024


def test_nothing_stays_for_the_next_worker(student_of):
    source = """
import os
def leave():
    for place in ("/tmp", "/dev/shm"):
        open(place + "/note", "w").write("the answer is 3")
def found():
    return [place for place in ("/tmp", "/dev/shm") if os.path.exists(place + "/note")]
"""
    student = student_of(source)
    student.leave()
    assert student.found() == ["/tmp", "/dev/shm"]
    student._session.fresh()
    assert student.found() == []


def test_randomness_differs_between_workers(student_of):
    source = """
import random, torch, numpy as np
def draw():
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]
"""
    student = student_of(source)
    first = student.draw()
    student._session.fresh()
    assert all(a != b for a, b in zip(first, student.draw(), strict=True))


@pytest.mark.parametrize(
    "body, outcome",
    [
        ("import os; os._exit(0)", Outcome.CRASH),
        ("import ctypes; ctypes.string_at(0)", Outcome.CRASH),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None),  # process 1 of a namespace ignores it
        ("return 'x' * 10_000_000", Outcome.FLOOD),
        ("return torch.zeros(20_000_000)", Outcome.FLOOD),
        ("return [torch.zeros(1)] * 5000", Outcome.FLOOD),
        (SCRIBBLE, Outcome.PROTOCOL),
    ],
)
def test_ends_are_told_apart(student_of, body, outcome):
    student = student_of(f"import torch\ndef f():\n    {body}\n")
    if outcome is None:
        assert student.f() is None
    else:
        assert outcome_of(student.f) is outcome


def test_time_limit_is_absolute(student_of):
    source = """
import signal, time
def spin():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass
def fine():
    return 1
"""
    student = student_of(source)
    student.fine()
    student._session.call_seconds = 0.5
    started = time.monotonic()
    assert outcome_of(student.spin) is Outcome.TIMEOUT
    assert time.monotonic() - started < 3
    assert student.fine() == 1


def test_a_question_that_hangs_is_given_up(student_of):
    student = student_of("def spin():\n    while True:\n        pass\n")
    student._session.call_seconds = 0.3
    assert [outcome_of(student.spin) for _ in range(2)] == [Outcome.TIMEOUT] * 2
    started = time.monotonic()
    assert [outcome_of(student.spin) for _ in range(20)] == [Outcome.TIMEOUT] * 20
    assert time.monotonic() - started < 0.3 * 20
    student._session.fresh()
    assert outcome_of(student.spin) is Outcome.TIMEOUT


def test_a_slow_drip_does_not_extend_the_time(student_of):
    source = """
import os, time
def drip():
    while True:
        for descriptor in range(3, 32):
            try:
                os.write(descriptor, b"\\x00")
            except OSError:
                pass
        time.sleep(0.05)
"""
    student = student_of(source)
    student._session.load()
    student._session.call_seconds = 0.5
    started = time.monotonic()
    assert outcome_of(student.drip) in (Outcome.TIMEOUT, Outcome.PROTOCOL)
    assert time.monotonic() - started < 5


def test_memory_is_bounded(student_of):
    student = student_of("import torch\ndef f():\n    return float(torch.empty(3_000_000_000, dtype=torch.uint8)[0])\n")
    assert outcome_of(student.f) is Outcome.MEMORY


def test_processes_are_bounded_and_end_with_the_worker(student_of):
    source = """
import os, time
def fork_many():
    count = 0
    while True:
        try:
            child = os.fork()
        except OSError:
            return count
        if child == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
"""
    student = student_of(source)
    assert student.fork_many() < 64
    pid = int(Path(f"/proc/self/fdinfo/{student._session._connection._pidfd}").read_text().split("Pid:")[1].split()[0])
    student._session.fresh()
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_a_lost_zygote_is_replaced(backend, student_of):
    student = student_of("def f():\n    return 2\n")
    assert student.f() == 2
    student._session.fresh()
    os.kill(backend._process.pid, signal.SIGKILL)
    backend._process.wait()
    assert student.f() == 2


def test_control_groups_are_removed(backend, student_of):
    student = student_of("def f():\n    return 2\n")
    student.f()
    group = student._session._connection._group
    if group is None:
        pytest.skip("this machine lets the tests make no control groups")
    assert all(folder.exists() for folder in group.folders)
    student._session.fresh()
    assert not any(folder.exists() for folder in group.folders)


def test_exception_text_stays_inside(student_of):
    student = student_of("def f(x):\n    raise ValueError(f'hidden input {x.tolist()}')\n")
    with pytest.raises(StudentError) as error:
        student.f(torch.tensor([1234.5]))
    assert (error.value.type, error.value.cell, error.value.line) == ("ValueError", "c0", 2)
    assert "1234" not in str(error.value)
