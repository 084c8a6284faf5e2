"""Runs inside bubblewrap with torch loaded; forks one confined worker for each request. Holds no secret: forks inherit it.

Protocol on the control socket: the grader sends the bytes of address space that the zygote has mapped (it can't see that
itself: there is no /proc inside) and the worker's end of a socket pair; the worker's process file descriptor comes back
over that pair, and frames follow it.
"""

import array
import gc
import importlib
import os
import random
import signal
import socket
import sys
import traceback

import numpy as np
import torch

from autograder.jail import limits, seccomp, wire
from autograder.jail.worker import Worker

PRELOADED = ("matplotlib.pyplot", "common.artifacts", "common.data", "common.metrics", "common.plotting", "common.training")


def main() -> None:
    """Serve the control socket (descriptor in argv[1]) until the grader closes it. argv[2]: "root" or "user"."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        importlib.import_module(name)
    torch.set_num_threads(1)
    _warm_up()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    bounds, serial = limits.Limits(), 0
    control.sendall(b"r")
    while order := _receive_order(control):
        mapped, descriptor = order
        serial += 1
        uid = 700_000 + serial % 100_000 if sys.argv[2] == "root" else None
        if os.fork() == 0:
            control.close()
            _supervise(socket.socket(fileno=descriptor), bounds, mapped, uid)
        os.close(descriptor)


def _warm_up() -> None:
    """Do once what torch sets up at its first step (an optimiser alone imports for 1.5 s), so that forks share it."""
    model = torch.nn.Linear(2, 2)
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        optimizer = kind(model.parameters(), lr=0.1)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def _receive_order(control: socket.socket) -> tuple[int, int] | None:
    data, ancillary, _, _ = control.recvmsg(8, socket.CMSG_SPACE(4))
    if not data:
        return None
    return int.from_bytes(data, "big"), array.array("i", ancillary[0][2])[0]


def _supervise(channel: socket.socket, bounds: limits.Limits, mapped: int, uid: int | None) -> None:
    """Fork the worker as process 1 of its own namespaces, hand its descriptor to the grader, wait for its end."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        limits.die_with_parent()
        limits.unshare_namespaces()
        child = os.fork()
        if child == 0:
            _confine_and_serve(channel, bounds, mapped, uid)
        handle = array.array("i", [os.pidfd_open(child)])
        channel.sendmsg([b"p"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handle)])
        channel.close()
        os.waitpid(child, 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _confine_and_serve(channel: socket.socket, bounds: limits.Limits, mapped: int, uid: int | None) -> None:
    """Give everything up, say so, then answer frames until the grader hangs up."""
    try:
        _confine(bounds, mapped, uid)
        channel.sendall(b"k")
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):  # only now: until here errors belong into the grader's log
            os.dup2(null, descriptor)
        serve(channel)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _confine(bounds: limits.Limits, mapped: int, uid: int | None) -> None:
    limits.die_with_parent()
    limits.mount_private(bounds)
    os.mkdir("/tmp/work")
    os.chmod("/tmp/work", 0o777)
    os.chdir("/tmp/work")
    limits.set_resource_limits(bounds, mapped)
    limits.become_nobody(uid)
    seccomp.install()
    for reseed in (random.seed, np.random.seed, torch.seed):
        reseed()


def serve(channel: socket.socket) -> None:
    """Answer requests, one frame each way; return when the other side hangs up."""
    worker = Worker()
    while (prefix := _exactly(channel, wire.PREFIX.size)) is not None:
        header_size, blob_size = wire.PREFIX.unpack(prefix)
        request = wire.decode(_exactly(channel, header_size), _exactly(channel, blob_size))
        _send(channel, _encoded(worker, worker.answer(request)))


def _encoded(worker: Worker, answer: dict) -> tuple[bytes, list[memoryview]]:
    try:
        return wire.encode(answer, worker.refer)
    except BaseException as error:  # a value that fights its own encoding
        kind = "FloodError" if isinstance(error, wire.FloodError) else "TypeError"
        return wire.encode({"error": {"type": kind, "cell": "", "line": 0}})


def _send(channel: socket.socket, frame: tuple[bytes, list[memoryview]]) -> None:
    prefixed, blobs = frame
    channel.sendall(prefixed)
    for blob in blobs:
        channel.sendall(blob)


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        chunk = channel.recv(min(size - len(parts), 1 << 20))
        if not chunk:
            return None
        parts += chunk
    return bytes(parts)


if __name__ == "__main__":
    main()
