"""Answers of the right shape and type without any content: the reference, with every value that comes back replaced."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.session import Backend, Connection

ANSWERS = ("call", "value", "gradient", "parameter_gradient")
REPLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": torch.zeros_like,
    "ones": torch.ones_like,
    "constant": lambda x: x.reshape(-1)[:1].expand(x.numel()).reshape(x.shape).clone() if x.numel() else x,
    "nan": lambda x: torch.full_like(x, torch.nan) if x.is_floating_point() else torch.zeros_like(x),
}


class TrivialBackend:
    """Wraps a back end; `kind` is one of zeros, ones, constant (each tensor's first entry everywhere) and nan.

    An error becomes a zero, as a function that does not look at its arguments would return one.
    """

    def __init__(self, backend: Backend, kind: str) -> None:
        self._backend, self._replace = backend, REPLACE[kind]
        self.name, self.guarantees = f"{backend.name} with trivial answers", backend.guarantees

    def start(self) -> "TrivialConnection":
        return TrivialConnection(self._backend.start(), self._replace)

    def close(self) -> None:
        """The wrapped back end belongs to the caller."""


class TrivialConnection:
    """Passes requests on and empties the answers."""

    def __init__(self, connection: Connection, replace: Callable[[Tensor], Tensor]) -> None:
        self._connection, self._replace = connection, replace

    def request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        answer = self._connection.request(message, seconds)
        if message["op"] not in ANSWERS:
            return answer
        return {"value": self._emptied(answer.get("value", 0))}

    @property
    def starved(self) -> float:
        return self._connection.starved

    def close(self) -> None:
        self._connection.close()

    def _emptied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._replace(value)
        if type(value) in (list, tuple):
            return type(value)(self._emptied(item) for item in value)
        if type(value) is dict:
            return {key: self._emptied(item) for key, item in value.items()}
        if type(value) in (int, float):
            return type(value)(self._replace(torch.zeros(1)).nan_to_num().item())
        return "" if type(value) is str else value
