"""Compare values that came back from student code. They are claims: nothing about them is taken for granted.

A value may be NaN, have a shape that broadcasts, be of another kind of number, or be no tensor at all. `close` is
False for each of these. The `require_*` functions say in a sentence that a student reads what is wrong with a value
before any number in it is used.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

FLOAT32 = (1e-4, 1e-5)
"""Relative and absolute tolerance of float32 results (see rule 10 of the checks: far above the rounding of any fair way
to compute a value, far below the effect of a mistake)."""


def kind(value: Tensor) -> str:
    """Return "float", "complex", "bool" or "int": what sort of number a tensor holds, whatever its precision."""
    if value.dtype == torch.bool:
        return "bool"
    if value.is_complex():
        return "complex"
    return "float" if value.is_floating_point() else "int"


def is_tensor(value: object, shape: Sequence[int] | None = None, of: str | None = None) -> bool:
    """True for a plain tensor of exactly this shape and kind of number (None: any)."""
    if type(value) is not Tensor:
        return False
    return (shape is None or tuple(value.shape) == tuple(shape)) and (of is None or kind(value) == of)


def close(actual: object, expected: Tensor, rtol: float = FLOAT32[0], atol: float = FLOAT32[1]) -> bool:
    """True when `actual` is a tensor of the expected shape and kind whose all entries near: |a - e| <= atol + rtol |e|.

    NaN is never close to anything, an infinity only to the same infinity. Precision may differ (float32 against
    float64), the kind of number may not.
    """
    if not is_tensor(actual, expected.shape, kind(expected)):
        return False
    if kind(expected) in ("bool", "int"):
        return torch.equal(actual.to(expected.dtype), expected)
    return torch.allclose(actual.double(), expected.double(), rtol=rtol, atol=atol)


def close_number(actual: object, expected: float, rtol: float = 0.0, atol: float = 0.0) -> bool:
    """True when a plain number (or a tensor without dimensions) is near `expected`; a bool, a string, NaN never are."""
    if is_tensor(actual, ()) and kind(actual) in ("int", "float"):
        actual = actual.item()
    if type(actual) not in (int, float) or not math.isfinite(actual):
        return False
    return abs(actual - expected) <= atol + rtol * abs(expected)


def require_tensor(value: object, shape: Sequence[int], of: str, name: str) -> Tensor:
    """Return `value` when it is a tensor of this shape and kind, with finite entries; else fail with a sentence."""
    assert type(value) is Tensor, f"{name} must be a tensor"
    assert tuple(value.shape) == tuple(shape), f"{name} must have shape {tuple(shape)}, yours has {tuple(value.shape)}"
    assert kind(value) == of, f"{name} must hold {of} numbers, yours are {str(value.dtype).removeprefix('torch.')}"
    if of == "float":
        assert torch.isfinite(value).all(), f"{name} must be finite: yours holds NaN or an infinity"
    return value


def require_levels(value: object, shape: Sequence[int], num_levels: int, name: str) -> Tensor:
    """Return `value` if it is an int64 tensor of this shape, entries in 0..num_levels-1; else fail with a sentence."""
    value = require_tensor(value, shape, "int", name)
    assert value.dtype == torch.int64, f"{name} must be int64, yours is {str(value.dtype).removeprefix('torch.')}"
    assert ((value >= 0) & (value < num_levels)).all(), f"{name} must lie in 0..num_levels-1"
    return value
