"""The untrusted side: holds the notebook's definitions and answers requests. It knows no check and no expected value."""

import linecache
import math
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.jail.wire import Reference

MODULE = "submission"


class Worker:
    """One submission's definitions and the objects that checks made from them.

    `answer(request)` takes {"op": name, ...} and returns {"value": ...} or {"error": {"type", "cell", "line"}}; what student
    code raises never leaves this class as an exception.
    """

    def __init__(self) -> None:
        self.module = types.ModuleType(MODULE)
        sys.modules[MODULE] = self.module  # dataclasses and pickling look the defining module up
        self.objects: list[Any] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request; see `Worker` for the shape of request and answer."""
        request = dict(request)
        try:
            return {"value": getattr(self, f"do_{request.pop('op')}")(**request)}
        except BaseException as error:  # SystemExit and KeyboardInterrupt are answers too
            return {"error": _describe(error)}

    def refer(self, value: Any) -> Reference:
        """A reference to an object that can't cross the wire."""
        self.objects.append(value)
        return Reference(len(self.objects) - 1)

    def _resolve(self, value: Any) -> Any:
        """Replace references in arguments by what they name."""
        if isinstance(value, Reference):
            if value.number < 0:
                return _lookup(self.module, value.name)
            found = self.objects[value.number]
            return getattr(found, value.name) if value.name else found
        if type(value) in (list, tuple):
            return type(value)(self._resolve(item) for item in value)
        if type(value) is dict:
            return {key: self._resolve(item) for key, item in value.items()}
        return value

    def do_ping(self) -> str:
        return "ready"

    def do_execute(self, name: str, source: str) -> None:
        """Run one definition cell."""
        filename = f"<cell {name}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        exec(compile(source, filename, "exec"), self.module.__dict__)

    def do_value(self, name: str) -> Any:
        return _lookup(self.module, name)

    def do_defines(self, name: str) -> bool:
        return hasattr(self.module, name)

    def do_call(self, target: Reference, args: Sequence, kwargs: dict[str, Any]) -> Any:
        return self._resolve(target)(*self._resolve(args), **self._resolve(kwargs))

    def do_forget(self) -> None:
        """Drop the objects that the last check made."""
        self.objects.clear()

    def do_generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def do_stub(self, source: str, name: str, values: dict[str, Any]) -> Any:
        """Define a small function or class here: a class is built with `values`, a function sees them as globals."""
        space = {"torch": torch, "nn": nn, "F": functional, "Tensor": Tensor, "math": math}
        exec(compile(source, f"<stub {name}>", "exec"), space)
        values = self._resolve(values)
        if isinstance(space[name], type):
            return space[name](**values)
        space.update(values)
        return space[name]

    def do_restore(self, class_name: str, config: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
        """Rebuild a trained model from its class, constructor arguments and weights."""
        model = _lookup(self.module, class_name)(**config)
        model.load_state_dict(tensors)
        return model.eval()

    def do_parameters(self, target: Reference) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in _trainable(self._resolve(target)).items()}

    def do_set_parameters(self, target: Reference, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in _trainable(self._resolve(target)).items():
                if name in tensors:
                    parameter.copy_(tensors[name])

    def do_state_dict(self, target: Reference) -> dict[str, Tensor]:
        return dict(self._resolve(target).state_dict())

    def do_load_state_dict(self, target: Reference, tensors: dict[str, Tensor]) -> None:
        self._resolve(target).load_state_dict(tensors)

    def do_gradient(
        self, target: Reference, args: list, kwargs: dict, wrt: list[int], cotangent: Any, output: int | None
    ) -> list[Tensor]:
        """d sum(cotangent * target(*args)) / d args[i] for i in wrt."""
        args, kwargs = list(self._resolve(args)), self._resolve(kwargs)
        for i in wrt:
            args[i] = args[i].clone().requires_grad_()
        scalar = _contract(self._resolve(target)(*args, **kwargs), cotangent, output)
        return _gradients(scalar, [args[i] for i in wrt])

    def do_parameter_gradient(
        self, module: Reference, target: Reference, args: list, kwargs: dict, cotangent: Any, output: int | None
    ) -> dict[str, Tensor]:
        named = _trainable(self._resolve(module))
        result = self._resolve(target)(*self._resolve(args), **self._resolve(kwargs))
        gradients = _gradients(_contract(result, cotangent, output), list(named.values()))
        return dict(zip(named, gradients, strict=True))

    def do_optimizer_steps(
        self, module: Reference, target: Reference, args: list, kwargs: dict, cotangent: Any, output: int | None,
        steps: int, name: str, settings: dict[str, float],
    ) -> None:  # fmt: skip
        """Minimise sum(cotangent * target(*args)) over the module's parameters for a few steps."""
        kinds: dict[str, Callable] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
        optimizer = kinds[name](self._resolve(module).parameters(), **settings)
        args, kwargs, call = self._resolve(args), self._resolve(kwargs), self._resolve(target)
        for _ in range(steps):
            optimizer.zero_grad()
            _contract(call(*args, **kwargs), cotangent, output).backward()
            optimizer.step()


def _lookup(module: types.ModuleType, name: str) -> Any:
    if not hasattr(module, name):
        raise NameError(name)
    return getattr(module, name)


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by name, without those that take no gradient: a mask may be kept as one."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _contract(result: Any, cotangent: Tensor | None, output: int | None) -> Tensor:
    result = result if output is None else result[output]
    return result.sum() if cotangent is None else (result * cotangent).sum()


def _gradients(scalar: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(scalar, inputs, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


def _describe(error: BaseException) -> dict[str, Any]:
    """Type and place of an error in student code. Its text stays here: it could carry a hidden input out."""
    cell, line = "", 0
    trace = error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename.startswith("<cell "):
            cell, line = filename[6:-1], trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and not cell and str(error.filename).startswith("<cell "):
        cell, line = error.filename[6:-1], error.lineno or 0
    if isinstance(error, RuntimeError) and "allocate memory" in str(error):  # how torch reports it
        error = MemoryError()
    builtin = next((c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"), "Exception")
    return {"type": builtin, "cell": cell, "line": line}
