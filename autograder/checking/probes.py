"""Probes: put random weights into a student's module, move one input at a time, see which outputs move.

A probe of dependencies returns the whole relation between inputs and outputs, so that a check can ask for equality of
sets: no leak *and* no lost edge. All perturbations go into one batch, so that a probe is one call.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from autograder.checking.compare import is_tensor


def randomize(student: Any, obj: Any, rng: torch.Generator, scale: float = 1.0) -> dict[str, Tensor]:
    """Replace every trainable parameter by a random one and return them.

    A matrix or kernel gets N(0, 2 scale^2 / fan_in), which keeps signals at the size `scale` through ReLU layers and
    gates out of saturation; a vector (bias, gain, embedding of one number) gets N(0, (scale / 2)^2).
    """
    new = {name: random_parameter(value, rng, scale) for name, value in student.parameters(obj).items()}
    student.set_parameters(obj, new)
    return new


def randomize_best(
    student: Any, obj: Any, score: Callable[[], float], rng: torch.Generator, enough: float,
    scales: Sequence[float] = (1.5, 2.0, 1.0) * 4,
) -> None:  # fmt: skip
    """Try random weights of several sizes until `score()` is `enough`; keep those with the highest score.

    For checks whose power depends on the weights, such as a sampler's on a tiny image: amplify the effect before adding
    draws. Kernels are scaled for images of one pixel, vectors are small, so that inputs count for more than biases.
    """
    found, shapes = [], student.parameters(obj)
    for scale in scales:
        parameters = {
            name: random_parameter(p, rng, scale * prod(p.shape[2:]) ** 0.5 if p.dim() > 1 else 0.3)
            for name, p in shapes.items()
        }
        student.set_parameters(obj, parameters)
        found.append((score(), parameters))
        if found[-1][0] >= enough:
            return
    student.set_parameters(obj, max(found, key=lambda pair: pair[0])[1])


def random_parameter(like: Tensor, rng: torch.Generator, scale: float = 1.0) -> Tensor:
    """Random tensor of the shape and dtype of `like`, of the size that `randomize` describes."""
    fan_in = prod(like.shape[1:]) if like.dim() > 1 else 8
    return (torch.randn(like.shape, generator=rng, dtype=torch.float64) * scale * (2 / fan_in) ** 0.5).to(like.dtype)


def reload(student: Any, trained: Any, fresh: Any) -> Any:
    """Copy a module's saved state into a freshly built one, as a checkpoint does, and return the fresh one."""
    student.load_state_dict(fresh, student.state_dict(trained))
    return fresh


def slopes(
    student: Any, obj: Any, call: Any, *args: Any, rng: torch.Generator, step: float = 1e-3
) -> tuple[float, float, float]:
    """Slope of a random combination of call(*args) along a random direction of all matrices and kernels of a module.

    Returns it by central differences, by the gradient that the worker reports, and the norm of that gradient. The two
    agree when training changes what it should: a detached or stale weight shows here, in no value. `call` returns (B,).
    """
    cotangent = torch.randn(len(args[0]), generator=rng)
    gradient = student.parameter_gradient(obj, call, *args, cotangent=cotangent)
    center = {name: p for name, p in student.parameters(obj).items() if p.dim() > 1}
    # A weight that the call has set to 0 is masked in place: its gradient means nothing, and it will be 0 again.
    direction = {name: random_parameter(p, rng) * (p != 0) for name, p in center.items()}
    ends = []
    for sign in (step, -step):
        student.set_parameters(obj, {name: p + sign * direction[name] for name, p in center.items()})
        ends.append((call(*args).double() * cotangent).sum())
    student.set_parameters(obj, center)
    reported = sum(float((gradient[name].double() * d).sum()) for name, d in direction.items())
    norm = sum(float((gradient[name].double() * (d != 0)).square().sum()) for name, d in direction.items()) ** 0.5
    return float(ends[0] - ends[1]) / (2 * step), reported, norm


def influence(
    call: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    rng: torch.Generator,
    *,
    levels: int | None = None,
    bases: int = 1,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
) -> Tensor:
    """Which inputs move which outputs: bool (*output_shape, *shape).

    `call` maps a batch (B, *shape) to (B, *output_shape). Inputs are normal floats of `dtype`, or levels
    0..levels-1 (int64). Every entry of each of `bases` random inputs is moved once, all in one call of batch
    bases * (prod(shape) + 1); an edge counts when any base shows it. An output moves when it changes by more than
    `tolerance` (1e-9 in float64, 1e-5 in float32) times the largest output, or times 1 where that is smaller.
    Fails with a sentence when the outputs are no finite floats or the batch is not kept.
    """
    size = prod(shape)
    inputs = perturbed(size, rng, levels, bases, dtype).reshape(-1, *shape)
    outputs = call(inputs)
    _require_batch(outputs, len(inputs))
    outputs = outputs.detach()
    moved = _moved(outputs.reshape(bases, size + 1, -1), tolerance)
    return moved.T.reshape(*outputs.shape[1:], *shape)


def dependencies(
    call: Callable[[Tensor], Tensor], shape: Sequence[int], output: Sequence[int], rng: torch.Generator, **options: Any
) -> Tensor:
    """Which inputs move one output, bool of `shape`; `output` is an index without batch; options: see `influence`."""
    return influence(call, shape, rng, **options)[tuple(output)]


def union(probe: Callable[[], Tensor], allowed: Tensor, tries: int = 8) -> Tensor:
    """Edges that any of up to `tries` probes sees; stops as soon as every allowed edge was seen.

    A ReLU that is off hides an edge for one set of weights: a right network shows all allowed edges after one or two
    probes with new weights, one that lacks an edge never does.
    """
    seen = probe()
    for _ in range(tries - 1):
        if (seen | ~allowed).all():
            break
        seen = seen | probe()
    return seen


def perturbed(size: int, rng: torch.Generator, levels: int | None, bases: int, dtype: torch.dtype) -> Tensor:
    """Random inputs, each followed by its `size` copies with one entry moved: (bases, size + 1, size)."""
    if levels is None:
        base = torch.randn(bases, 1, size, generator=rng, dtype=dtype)
        step = 1 + torch.rand(bases, size, generator=rng, dtype=dtype)
        moved = base + torch.diag_embed(step)
    else:
        base = torch.randint(levels, (bases, 1, size), generator=rng)
        step = torch.randint(1, levels, (bases, size), generator=rng)
        moved = (base + torch.diag_embed(step)) % levels
    return torch.cat([base, moved], 1)


def _require_batch(outputs: object, batch: int) -> None:
    assert is_tensor(outputs, of="float"), "the output must be a tensor of floats"
    assert outputs.shape[:1] == (batch,), "the first axis of the output must be the batch"
    assert torch.isfinite(outputs).all(), "the output holds NaN or an infinity"


def _moved(outputs: Tensor, tolerance: float | None) -> Tensor:
    """(bases, size + 1, outputs) -> (size, outputs) bool: moved by more than rounding, for any base."""
    if tolerance is None:
        tolerance = 1e-9 if outputs.dtype == torch.float64 else 1e-5
    threshold = tolerance * outputs.abs().max().clamp(min=1.0)
    return ((outputs[:, 1:] - outputs[:, :1]).abs() > threshold).any(0)


def raster_before(height: int, width: int) -> Tensor:
    """Strict raster order: bool (H, W, H, W), True where the second pixel comes before the first."""
    rank = torch.arange(height * width)
    return (rank[None] < rank[:, None]).reshape(height, width, height, width)


def cyclic_ordering(size: int, rng: torch.Generator) -> list[int]:
    """A random permutation that is one cycle, so (size >= 3) it differs from its inverse, from the identity and from
    a reversal."""
    cycle = torch.randperm(size, generator=rng)
    ordering = torch.empty(size, dtype=torch.int64)
    ordering[cycle] = cycle.roll(-1)
    return ordering.tolist()
