"""Probes of invertible maps: volumes by numerical Jacobians, round trips, slopes at parameters and inputs.

A map is a callable of the jail that takes (B, *shape) in float64 and returns (value, log_det). Both are claims. What they
are held against comes from values alone: finite differences, and the map that undoes this one.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from autograder.checking.compare import close, is_tensor, require_tensor
from autograder.checking.probes import random_parameter

Map = Callable[[Tensor], Any]

LOG_DET = 1e-4
"""Relative tolerance of a log-determinant, and absolute one per dimension: some ways to sum are less exact than others."""

SCORE = """
class Score(nn.Module):
    '''A number per example that mixes value and log_det of a map with given weights.'''

    def __init__(self, call, weights, share):
        super().__init__()
        self.call, self.weights, self.share = call, weights, share

    def forward(self, x):
        value, log_det = self.call(x)
        return self.share * log_det + (value * self.weights).flatten(1).sum(1)
"""


def applied(call: Map, x: Tensor, name: str = "forward(x)") -> tuple[Tensor, Tensor]:
    """(value, log_det) of a map that keeps the shape of x: finite floats of shapes x.shape and (B,), else a sentence."""
    result = call(x)
    assert type(result) in (tuple, list) and len(result) == 2, f"{name} must return two tensors, value and log_det"
    value = require_tensor(result[0], x.shape, "float", f"the value of {name}")
    return value, require_tensor(result[1], x.shape[:1], "float", f"log_det of {name}")


def value_of(call: Map, x: Tensor) -> Tensor:
    """Only the value, so that a wrong log_det costs nothing in a check of something else."""
    result = call(x)
    assert type(result) in (tuple, list) and len(result) == 2, "a map must return two tensors, value and log_det"
    return require_tensor(result[0], x.shape, "float", "the value of a map")


def same_log_det(actual: Tensor, expected: Tensor, dims: int) -> bool:
    """Whether log-determinants (B,) of maps of `dims` dimensions agree up to the order of summation."""
    return close(actual, expected, LOG_DET, LOG_DET * dims)


def jacobians(call: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Central differences of a function of values at each row of x (B, *shape): (B, outputs, inputs) float64.

    One call with a batch of B (2 D + 1). The second result, (B,) bool, is False for rows where the slopes to the left and
    to the right differ: a kink of a ReLU lies within the step, and the differences say nothing.
    """
    batch, size = len(x), x[0].numel()
    moves = step * torch.cat([torch.zeros(1, size), torch.eye(size), -torch.eye(size)]).to(x)
    rows = x.reshape(batch, 1, size) + moves
    outputs = call(rows.reshape(-1, *x.shape[1:]))
    assert is_tensor(outputs, of="float") and len(outputs) == len(rows) * rows.shape[1], "the batch must be kept"
    assert outputs.dtype == torch.float64, "after .double(), float64 inputs must give float64 results"
    middle, ahead, behind = outputs.reshape(batch, 2 * size + 1, -1).split([1, size, size], 1)
    found = ((ahead - behind) / (2 * step)).transpose(1, 2)
    bend = ((ahead + behind - 2 * middle) / step).abs().amax((1, 2))
    return found, bend < 1e-3 * (1 + found.abs().amax((1, 2)))


def log_volumes(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """log |det| of the numerical Jacobian at each row of x, and which rows are smooth there. Fails when too few are."""
    found, smooth = jacobians(call, x)
    assert found.shape[1] == found.shape[2], "an invertible map has as many outputs as inputs"
    assert 2 * smooth.sum() >= len(x), "the map jumps, or gives another value each time: its Jacobian can't be taken"
    return torch.linalg.slogdet(found).logabsdet, smooth


def require_volume(call: Map, x: Tensor, name: str, hint: str) -> Tensor:
    """Fail unless log_det is the log-volume of the numerical Jacobian for each row of x. Returns log_det (B,)."""
    _, log_det = applied(call, x, name)
    expected, smooth = log_volumes(lambda rows: value_of(call, rows), x)
    assert same_log_det(log_det[smooth], expected[smooth], x[0].numel()), hint
    return log_det


def require_round_trip(
    there: Map, back: Map, x: Tensor, name: str, tolerance: float = 1e-7, log_det: bool = True
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Fail unless `back` undoes `there` on x, with the opposite log_det. Returns (value, log_det) of `there`."""
    value, volume = applied(there, x, name)
    found, opposite = applied(back, value, "the way back")
    assert close(found, x, tolerance, tolerance), f"{name} is not undone by the way back"
    assert not log_det or same_log_det(opposite, -volume, x[0].numel()), (
        "log_det of forward and inverse at the same point must be opposite: each is that of the map that was applied"
    )
    return value, volume


def require_slopes(
    student: Any, module: Any, call: Map, x: Tensor, rng: torch.Generator, shares: Iterable[float] = (0.0, 1.0)
) -> None:  # fmt: skip
    """Fail unless gradients of value and log_det of call(x) fit their slopes, at the parameters and at x.

    shares: 0 looks at the value, 1 at log_det; by themselves, since a detached log_det would not show beside a steep value.
    """
    weights = torch.randn(x.shape[1:], generator=rng, dtype=x.dtype)
    for share in shares:
        score = student.stub(SCORE, "Score", call=call, weights=weights * (1 - share), share=share)
        along, reported, norm = parameter_slope(student, module, score, x, rng)
        assert norm > 0, "the gradient does not reach the parameters"
        assert abs(along - reported) < 0.02 * norm, "a gradient is not the slope at the parameters: is something detached?"
        slope, reported, norm = input_slope(student, score, x, rng)
        assert ((slope - reported).abs() < 0.02 * norm + 1e-6).all(), (
            "a gradient is not the slope at the input: is something detached on the way?"
        )


def parameter_slope(
    student: Any, module: Any, call: Callable[[Tensor], Tensor], x: Tensor, rng: torch.Generator, step: float = 1e-6
) -> tuple[float, float, float]:
    """Slope of a random combination of call(x) (B,) along a random direction of all parameters.

    Returns it by central differences, by the gradient that the worker reports, and the norm of that gradient.
    """
    cotangent = torch.randn(len(x), generator=rng, dtype=torch.float64)
    center = student.parameters(module)
    direction = {name: random_parameter(p, rng).double() for name, p in center.items()}
    gradient = student.parameter_gradient(module, call, x, cotangent=cotangent)
    ends = []
    for sign in (step, -step):
        student.set_parameters(module, {name: p + sign * direction[name] for name, p in center.items()})
        ends.append((require_tensor(call(x), (len(x),), "float", "the result").double() * cotangent).sum())
    student.set_parameters(module, center)
    reported = sum(float((gradient[name].double() * d).sum()) for name, d in direction.items())
    norm = sum(float(gradient[name].double().square().sum()) for name in direction) ** 0.5
    return float(ends[0] - ends[1]) / (2 * step), reported, norm


def input_slope(
    student: Any, call: Callable[[Tensor], Tensor], x: Tensor, rng: torch.Generator, step: float = 1e-6
) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes of call(x) (B,) along one random direction per row of x: by differences and by gradient, and its norms, (B,)."""
    direction = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    (gradient,) = student.gradient(call, x)
    rows = call(torch.cat([x + step * direction, x - step * direction]))
    ahead, behind = require_tensor(rows, (2 * len(x),), "float", "the result").double().chunk(2)
    gradient = require_tensor(gradient, x.shape, "float", "the gradient").double()
    reported = (gradient * direction).reshape(len(x), -1).sum(1)
    return (ahead - behind) / (2 * step), reported, gradient.reshape(len(x), -1).norm(dim=1)
