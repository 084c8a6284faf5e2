"""The trusted side of a call into the jail: `Student`, what checks see, and `Session`, one submission's workers."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from torch import Tensor

from autograder.checking.verdicts import Outcome
from autograder.jail.wire import Reference
from common.artifacts import CheckpointError
from common.artifacts import read as read_checkpoint

CALL_SECONDS, LOAD_SECONDS, SUBMISSION_SECONDS = 5.0, 20.0, 120.0
TIMEOUTS_OF_A_QUESTION = 2  # after so many the rest of its checks is not tried: a class of loops must not take hours


class StudentError(Exception):
    """Student code raised. `type` is the builtin type's name, `cell` and `line` say where; the text stays in the jail."""

    def __init__(self, type: str, cell: str = "", line: int = 0) -> None:
        self.type, self.cell, self.line = type, cell, line
        where = f" at line {line} of cell {cell}" if cell else ""
        super().__init__(f"your code raised {type}{where}")


class CheckStopped(Exception):
    """The check can't go on: `outcome` and a sentence for the student."""

    def __init__(self, outcome: Outcome, sentence: str) -> None:
        self.outcome = outcome
        super().__init__(sentence)


class Connection(Protocol):
    """A live worker. `request` raises CheckStopped (TIMEOUT, CRASH, ...) when it is lost; then it is closed.

    `starved` counts the seconds in which a busy machine kept the worker waiting; they are not the student's.
    """

    starved: float

    def request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]: ...
    def close(self) -> None: ...


class Backend(Protocol):
    """Starts workers. `name` and `guarantees` are recorded with every verdict."""

    name: str
    guarantees: tuple[str, ...]

    def start(self) -> Connection: ...
    def close(self) -> None: ...


class Session:
    """One submission: starts a worker when one is needed, loads the definition cells, keeps to the time limits.

    A cell that fails is left out and remembered with its reason, so that the other questions are graded. The total time is
    bounded: when `SUBMISSION_SECONDS` are used up every further request ends in TIMEOUT.
    """

    def __init__(self, backend: Backend, cells: Sequence[tuple[str, str]], checkpoints: dict[str, Any]) -> None:
        self.backend, self.cells, self.checkpoints = backend, cells, checkpoints
        self.broken: dict[str, str] = {}
        self.call_seconds = CALL_SECONDS
        self.ends = time.monotonic() + SUBMISSION_SECONDS
        self._connection: Connection | None = None
        self._stuck: set[int] = set()
        self._timeouts = 0

    def request(self, op: str, **message: Any) -> Any:
        """One operation of `autograder.jail.worker.Worker`; returns its value or raises StudentError, CheckStopped."""
        return self._request({"op": op, **message}, self.call_seconds)

    def fresh(self) -> None:
        """Let the next request start from a new worker, for another question."""
        self._timeouts = 0
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def forget(self) -> None:
        """Drop the objects of the last check, if a worker lives."""
        if self._connection is not None:
            self.request("forget")

    def load(self) -> None:
        """Make sure that a worker lives and has run the definition cells."""
        while self._connection is None:
            self._connection = self.backend.start()
            self._execute_cells()

    def _execute_cells(self) -> None:
        started = time.monotonic() - self._connection.starved
        for index, (name, source) in enumerate(self.cells):
            if index in self._stuck:
                continue
            try:
                left = LOAD_SECONDS - (time.monotonic() - started - self._connection.starved)
                self._request({"op": "execute", "name": name, "source": source}, left)
            except StudentError as error:
                self.broken[name] = f"the cell {name} stopped with {error.type} at line {error.line}"
            except CheckStopped as stop:
                self._stuck.add(index)
                self.broken[name] = f"the cell {name} could not be loaded: {stop}"
                return  # the worker is gone; `load` starts another one without this cell

    def _request(self, message: dict[str, Any], seconds: float) -> Any:
        if message["op"] != "execute":
            if self._timeouts >= TIMEOUTS_OF_A_QUESTION:
                raise CheckStopped(Outcome.TIMEOUT, "not tried: checks of this question ran out of time before")
            self.load()
        left = self.ends - time.monotonic()
        if left <= 0:
            raise CheckStopped(Outcome.TIMEOUT, f"the submission used up its {SUBMISSION_SECONDS:g} s")
        connection, starved = self._connection, self._connection.starved
        try:
            answer = connection.request(message, min(seconds, left))
        except CheckStopped as stop:
            self._connection = None
            self._timeouts += stop.outcome is Outcome.TIMEOUT and message["op"] != "execute"
            raise
        finally:
            self.ends += connection.starved - starved
        if "error" in answer:
            raise _student_error(answer["error"])
        return answer.get("value")


def _student_error(error: Any) -> Exception:
    """A StudentError from an answer, whose fields are claims: of the right type and of bounded length."""
    if not isinstance(error, dict):
        return CheckStopped(Outcome.PROTOCOL, "the worker's answer is malformed")
    kind, cell, line = error.get("type"), error.get("cell"), error.get("line")
    kind = kind if isinstance(kind, str) and kind.isidentifier() and len(kind) < 40 else "Exception"
    cell = cell if isinstance(cell, str) and len(cell) < 60 and cell.replace("-", "_").isidentifier() else ""
    return StudentError(kind, cell, line if type(line) is int and 0 <= line < 10**6 else 0)


class Remote:
    """Something that lives in the jail: an object, one of its methods, or a name of the notebook. Call it, or a method."""

    def __init__(self, session: Session, reference: Reference) -> None:
        self._session, self._reference = session, reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        message = {"target": self._reference, "args": _lower(args), "kwargs": _lower(kwargs)}
        return _lift(self._session, self._session.request("call", **message))

    def __getattr__(self, name: str) -> "Remote":
        if name.startswith("_") or self._reference.name:
            raise AttributeError(name)
        return Remote(self._session, Reference(self._reference.number, name))


class Student:
    """What a check knows of a submission: `student.Name(...)` runs it in the jail and returns real values.

    Tensors, numbers, strings, lists, tuples and dicts come back as values; anything else as a `Remote`. Values are claims.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Remote:
        if name.startswith("_"):
            raise AttributeError(name)
        return Remote(self._session, Reference(-1, name))

    def value(self, name: str) -> Any:
        """The value of a variable of the notebook (a theory answer); FAILED when it was not given."""
        try:
            found = self._session.request("value", name=name)
        except StudentError:
            found = None
        if found is None or isinstance(found, Reference):
            raise CheckStopped(Outcome.FAILED, f"{name} has no answer yet, or one that is no plain value")
        return found

    def defines(self, name: str) -> bool:
        """Whether the notebook defines a name."""
        return bool(self._session.request("defines", name=name))

    def generator(self, seed: int) -> Remote:
        """A torch.Generator in the jail, to pass as an argument."""
        return _lift(self._session, self._session.request("generator", seed=seed))

    def stub(self, source: str, name: str, **values: Any) -> Remote:
        """An object defined in the jail by source text: a class built with `values`, or a function that sees them."""
        return _lift(self._session, self._session.request("stub", source=source, name=name, values=_lower(values)))

    def checkpoint(self, name: str) -> Remote:
        """The trained model saved under that name, rebuilt by the student's class, weights loaded, in eval mode."""
        path = self._session.checkpoints.get(name)
        if path is None:
            raise CheckStopped(Outcome.FAILED, f"artifacts/{name}.safetensors is missing: run the experiment, hand it in")
        try:
            saved = read_checkpoint(path)
        except CheckpointError as error:
            raise CheckStopped(Outcome.FAILED, str(error)) from error
        message = {"class_name": saved.class_name, "config": saved.config, "tensors": saved.tensors}
        try:
            return _lift(self._session, self._session.request("restore", **message))
        except StudentError as error:
            sentence = f"artifacts/{name}.safetensors does not fit the notebook's {saved.class_name} ({error.type})"
            raise CheckStopped(Outcome.FAILED, f"{sentence}: train and save again with the class that you hand in") from error

    def parameters(self, module: Remote) -> dict[str, Tensor]:
        """Trainable parameters by name."""
        return self._session.request("parameters", target=module._reference)

    def set_parameters(self, module: Remote, tensors: dict[str, Tensor]) -> None:
        """Overwrite the named trainable parameters."""
        self._session.request("set_parameters", target=module._reference, tensors=tensors)

    def state_dict(self, module: Remote) -> dict[str, Tensor]:
        return self._session.request("state_dict", target=module._reference)

    def load_state_dict(self, module: Remote, tensors: dict[str, Tensor]) -> None:
        self._session.request("load_state_dict", target=module._reference, tensors=tensors)

    def gradient(
        self, call: Remote, *args: Any, wrt: Iterable[int] = (0,), cotangent: Tensor | None = None,
        output: int | None = None, **kwargs: Any,
    ) -> list[Tensor]:  # fmt: skip
        """d sum(cotangent * call(*args)) / d args[i] for i in `wrt`; `output` picks one of several results."""
        message = _call_message(call, args, kwargs, cotangent, output)
        return self._session.request("gradient", wrt=list(wrt), **message)

    def parameter_gradient(
        self, module: Remote, call: Remote, *args: Any, cotangent: Tensor | None = None, output: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Tensor]:  # fmt: skip
        """d sum(cotangent * call(*args)) / d parameter, for every trainable parameter of `module`."""
        message = _call_message(call, args, kwargs, cotangent, output)
        return self._session.request("parameter_gradient", module=module._reference, **message)

    def optimizer_steps(
        self, module: Remote, call: Remote, *args: Any, steps: int = 3, name: str = "sgd",
        cotangent: Tensor | None = None, output: int | None = None, settings: dict[str, float] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """A few steps of sgd, adam or adamw that minimise sum(cotangent * call(*args)); `settings` go to the optimiser."""
        settings = settings or {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
        message = _call_message(call, args, kwargs, cotangent, output)
        message |= {"module": module._reference, "steps": steps, "name": name, "settings": settings}
        self._session.request("optimizer_steps", **message)

    def refuses(self, error: type[Exception], call: Remote, *args: Any, **kwargs: Any) -> bool:
        """Whether the call raises that builtin error (or a subclass of it)."""
        try:
            call(*args, **kwargs)
        except StudentError as raised:
            return raised.type == error.__name__
        return False


def _call_message(call: Remote, args: Any, kwargs: Any, cotangent: Any, output: int | None) -> dict[str, Any]:
    message = {"target": call._reference, "args": _lower(args), "kwargs": _lower(kwargs)}
    return {**message, "cotangent": cotangent, "output": output}


def _lower(value: Any) -> Any:
    """Remotes to references, inside containers too."""
    if isinstance(value, Remote):
        return value._reference
    if type(value) in (list, tuple):
        return type(value)(_lower(item) for item in value)
    if type(value) is dict:
        return {key: _lower(item) for key, item in value.items()}
    return value


def _lift(session: Session, value: Any) -> Any:
    """References to Remotes, inside containers too."""
    if isinstance(value, Reference):
        return Remote(session, value)
    if type(value) in (list, tuple):
        return type(value)(_lift(session, item) for item in value)
    if type(value) is dict:
        return {key: _lift(session, item) for key, item in value.items()}
    return value
