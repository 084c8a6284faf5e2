"""Affine coupling: volume by the numerical Jacobian, the way back, and who may depend on whom, whatever the scale function."""

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close
from autograder.checking.maps import applied, require_round_trip, require_slopes, require_volume, same_log_det, value_of
from autograder.checking.probes import influence, random_parameter, randomize, reload, union

MASKS = {"two of five": [1, 0, 0, 1, 0], "all but one": [0, 1, 1, 1], "one": [0, 0, 1]}


def build(student, rng: torch.Generator, mask: list | Tensor, hidden: int = 24, scale: float = 1.0):
    """A coupling layer in float64 with random weights."""
    layer = student.AffineCoupling(mask, hidden).double()
    randomize(student, layer, rng, scale)
    return layer


def points(rng: torch.Generator, batch: int, num_dims: int) -> Tensor:
    return torch.randn(batch, num_dims, generator=rng, dtype=torch.float64)


def require_changing(log_det: Tensor) -> None:
    """Fail for a layer that keeps volumes, or stretches all points alike: it shows nothing."""
    assert log_det.std() > 1e-3, "log_det is the same for all inputs: the scale must depend on the dimensions that pass"


@weight(3)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_log_det(student, rng, mask):
    """log_det is the logarithm of the Jacobian's determinant, for every example by itself."""
    layer, x = build(student, rng, mask), points(rng, 6, len(mask))
    log_det = require_volume(
        layer, x, "forward(x)", "log_det is not that of the Jacobian: which dimensions are scaled, and by what exactly?"
    )
    require_changing(log_det)


@weight(3)
@pytest.mark.parametrize("scale", [0.7, 1.6], ids=["gentle", "steep"])
def test_inverse(student, rng, scale):
    """inverse undoes forward and forward undoes inverse, also where the scale is far from 1."""
    layer, x = build(student, rng, torch.tensor([0.0, 1, 1, 0, 0]), scale=scale), points(rng, 7, 5)
    z, log_det = require_round_trip(layer, layer.inverse, x, "forward(x)")
    require_changing(log_det)
    assert (z[:, [0, 3, 4]] - x[:, [0, 3, 4]]).abs().mean() > 1e-3, "the layer changes nothing"
    require_round_trip(layer.inverse, layer, x, "inverse(z)", log_det=False)


@weight(2)
def test_log_det_of_the_inverse(student, rng):
    """The log_det that inverse returns is that of the inverse map."""
    layer, z = build(student, rng, [0, 1, 0, 1, 0]), points(rng, 6, 5)
    log_det = require_volume(
        layer.inverse, z, "inverse(z)", "log_det of inverse is not that of the inverse map's Jacobian: sign, and bounded s?"
    )
    require_changing(log_det)


@weight(3)
def test_dependencies_are_exact(student, rng):
    """Dimensions with mask 1 pass and move all others; those with mask 0 move nothing but themselves."""
    mask = torch.tensor([0, 1, 0, 0, 1])
    passes, layer = mask.bool(), build(student, rng, mask)
    x = points(rng, 5, 5)
    assert close(value_of(layer, x)[:, passes], x[:, passes], 1e-12, 1e-12), "dimensions with mask 1 must pass unchanged"

    def probe() -> Tensor:
        randomize(student, layer, rng)
        return influence(lambda rows: value_of(layer, rows), (5,), rng, bases=4)

    may = torch.eye(5, dtype=torch.bool) | (~passes[:, None] & passes[None, :])
    seen = union(probe, may)
    assert not (seen & ~may).any(), "a transformed dimension moves another one: the network must see mask * x only"
    assert not (may & ~seen).any(), "some transformed dimension does not depend on one that passes, or on itself"


@weight(3)
@pytest.mark.parametrize("part", ["scale", "shift"])
def test_scale_and_shift(student, rng, part):
    """A transformed dimension is scaled and shifted, and all dimensions that pass decide by how much."""
    mask = torch.tensor([1.0, 0, 1, 0, 0, 1])
    passes, layer = mask.bool(), student.AffineCoupling(mask, 24).double()

    def factors(rows: Tensor) -> Tensor:
        both = value_of(layer, torch.cat([rows, rows + 1 - mask]))
        return both[len(rows) :] - both[: len(rows)]  # of x -> a x + b at x + 1 and x: a

    def shifts(rows: Tensor) -> Tensor:
        return value_of(layer, rows * mask)

    call = factors if part == "scale" else shifts

    def probe() -> Tensor:
        randomize(student, layer, rng)
        return influence(call, (6,), rng, bases=4)[~passes]

    seen, may = union(probe, passes.expand(3, 6)), passes.expand(3, 6)
    assert not (seen & ~may).any(), "z is no affine function of a transformed dimension, x exp(s) + t"
    assert not (may & ~seen).any(), f"the {part} of a transformed dimension does not depend on every dimension that passes"
    assert (factors(points(rng, 9, 6))[:, ~passes] > 0).all(), "a scale must be positive for all parameters"


@weight(1)
def test_gradients(student, rng):
    """Gradients of z and of log_det are right, forward and inverse, for the parameters and for the input."""
    layer, x = build(student, rng, [1, 0, 0, 1, 0]), points(rng, 8, 5)
    require_changing(applied(layer, x)[1])
    require_slopes(student, layer, layer, x, rng)
    require_slopes(student, layer, layer.inverse, x, rng)


@weight(1)
def test_examples_are_independent(student, rng):
    """An example's result is the same alone and in any batch, in float32 too, in training and in eval mode."""
    layer = student.AffineCoupling([0, 1, 1, 0], 16)
    randomize(student, layer, rng, 0.7)
    x = points(rng, 4, 4).float()
    z, log_det = applied(layer, x)
    require_changing(log_det)
    alone = [applied(layer, row[None]) for row in x]
    assert close(torch.cat([a for a, _ in alone]), z) and close(torch.cat([b for _, b in alone]), log_det), (
        "an example's z or log_det depends on the batch around it: log_det is one number per example"
    )
    assert close(applied(layer.eval(), x)[0], z), "eval mode gives other results"


@weight(1)
def test_many_dimensions(student, rng):
    """A mask of zeros transforms all dimensions; log_det is right even where the product of all scales underflows."""
    layer, x = student.AffineCoupling([0] * 600, 8), points(rng, 3, 600).float()
    for _ in range(6):  # downhill in log_det: after a few steps the product is nothing in float32
        slope = student.parameter_gradient(layer, layer.forward, x, output=1)
        now = student.parameters(layer)
        student.set_parameters(layer, {name: now[name] - 0.3 * slope[name].sign() for name in now})
        z, log_det = applied(layer, x)
        if (log_det < -120).all():
            break
    assert (log_det < -12).all(), "the volume does not shrink when the parameters follow the gradient of log_det"
    factors = value_of(layer, x + 1) - z
    assert (factors > 0).all(), "a scale is not positive"
    assert same_log_det(log_det, factors.log().sum(1), 600), "with many dimensions log_det is not the sum of all s"


@weight(1)
def test_survives_saving(student, rng):
    """A fresh layer that loads the saved state is the same layer, after a step of training too."""
    layer, fresh = build(student, rng, [0, 1, 0]), student.AffineCoupling([0, 1, 0], 24).double()
    x = points(rng, 6, 3)
    start = {name: p + 0.01 * random_parameter(p, rng) for name, p in student.parameters(layer).items()}
    student.set_parameters(layer, start)
    z, log_det = applied(layer, x)
    require_changing(log_det)
    again = applied(reload(student, layer, fresh), x)
    assert close(again[0], z, 1e-9) and close(again[1], log_det), "a fresh layer that loads the state acts differently"
    require_volume(fresh, x, "forward(x)", "after loading, log_det is not that of the Jacobian")
