"""Levels to real numbers and back: noise by its law, the logit by its formula, bits per dimension by the uniform density."""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, close_number, require_tensor
from autograder.checking.maps import applied, input_slope
from autograder.checking.statistics import chi_square, fresh_seed, two_stage

RANGE = """
def range_of(dequantize, num_values, num_levels, generator):
    return torch.stack(dequantize(torch.full((num_values,), num_levels - 1), num_levels, generator=generator).aminmax())
"""


def levels(rng: torch.Generator, shape: tuple[int, ...], num_levels: int) -> Tensor:
    return torch.randint(num_levels, shape, generator=rng)


def noise(student, x: Tensor, num_levels: int, seed: int) -> Tensor:
    """u = K y - x for y = dequantize(x, K), after checks of shape and range; in float64."""
    y = require_tensor(
        student.dequantize(x, num_levels, generator=student.generator(seed)), x.shape, "float", "dequantize(x)"
    )
    u = y.double() * num_levels - x
    assert ((y >= 0) & (y <= 1)).all(), "dequantize must give values in [0, 1)"
    assert u.min() > -1e-3 and u.max() < 1 + 1e-3, "level k must land in [k / K, (k + 1) / K)"
    return u.clamp(0, 1)


@weight(2)
@pytest.mark.parametrize("num_levels, shape", [(2, (11, 1, 9, 13)), (17, (1300,)), (256, (7, 3, 8, 8))], ids=str)
def test_noise(student, rng, num_levels, shape):
    """Every value gets noise of its own, uniform over its bin, whatever the level and the shape."""
    x = levels(rng, shape, num_levels)

    def p_value(seed: int) -> float:
        u = noise(student, x, num_levels, seed).flatten()
        assert u.unique().numel() > 0.9 * u.numel(), "the noise repeats itself: every value must draw its own"
        tenths = (10 * u).long().clamp(max=9)
        by_level = tenths + 10 * (x.flatten() % 2)
        pairs = tenths[:-1] // 2 * 5 + tenths[1:] // 2
        share = torch.bincount(x.flatten() % 2, minlength=2).double().repeat_interleave(10)
        return 2 * min(chi_square(by_level, share), chi_square(pairs, torch.ones(25)))

    assert two_stage(p_value, rng), "the noise is not uniform over a bin, or it depends on the level or on its neighbour"


@weight(1)
def test_generator_decides(student, rng):
    """The generator alone decides the noise; without one it is new each time; the levels are left alone."""
    x, seed = levels(rng, (4, 1, 5, 5), 8), fresh_seed(rng)
    generator = student.generator(fresh_seed(rng))
    first, again = (noise(student, x, 8, seed) for _ in range(2))
    others = [student.dequantize(x, 8, generator=generator) for _ in range(2)]
    free = [require_tensor(student.dequantize(x, 8), x.shape, "float", "dequantize(x)") for _ in range(2)]
    assert first.unique().numel() > 50, "the noise repeats itself: every value must draw its own"
    assert torch.equal(first, again), "two generators with the same seed give different noise"
    assert not torch.equal(first, noise(student, x, 8, fresh_seed(rng))), "generators with different seeds give the same noise"
    assert not torch.equal(*others), "a second call with one generator repeats the noise of the first"
    assert not torch.equal(*free), "without a generator two calls give the same noise"
    assert free[0].dtype == torch.float32, "dequantize must return the default dtype"


@weight(0.5)
def test_one_never_occurs(student, rng):
    """dequantize stays below 1, in the highest level and by rounding, too."""
    range_of = student.stub(RANGE, "range_of")
    found = range_of(student.dequantize, 700_000, 256, student.generator(fresh_seed(rng)))
    low, high = require_tensor(found, (2,), "float", "the range of values")
    assert abs(low - 255 / 256) < 1e-5 and high > 1 - 1e-4, "the highest level must fill its bin"
    assert high < 1, "in float32 the sum of 255 and noise just below 1 rounds to 256: keep the result below 1"


def logit(x: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Value and log-slope, elementwise."""
    p = alpha + (1 - 2 * alpha) * x
    return p.logit(), math.log(1 - 2 * alpha) - p.log() - (1 - p).log()


CASES = {"vectors": ((5, 5), 0.05), "images": ((4, 3, 2, 5), 1e-3), "steep": ((3, 7), 0.3)}


@weight(3)
@pytest.mark.parametrize("shape, alpha", CASES.values(), ids=CASES.keys())
def test_logit_transform(student, rng, shape, alpha):
    """y is the logit of alpha + (1 - 2 alpha) x, and log_det counts the logit and the shrinking, in all dimensions."""
    x = torch.rand(shape, generator=rng, dtype=torch.float64)
    x.view(-1)[:2] = torch.tensor([0.0, 1.0])  # the ends of the interval, where nothing may be infinite
    y, log_det = applied(lambda rows: student.logit_transform(rows, alpha), x, "logit_transform(x)")
    value, slope = logit(x, alpha)
    assert close(y, value, 1e-6, 1e-6), "the value is not logit(alpha + (1 - 2 alpha) x)"
    assert close(log_det, slope.flatten(1).sum(1), 1e-4, 1e-4), (
        "log_det is not the sum over an example's dimensions of log dy/dx: the chain rule has two factors"
    )


@weight(3)
@pytest.mark.parametrize("shape, alpha", CASES.values(), ids=CASES.keys())
def test_inverse_logit_transform(student, rng, shape, alpha):
    """The inverse undoes the transform, and its log_det is that of the inverse map."""
    x = torch.rand(shape, generator=rng, dtype=torch.float64)
    value, slope = logit(x, alpha)
    found, log_det = applied(lambda rows: student.inverse_logit_transform(rows, alpha), value, "inverse_logit_transform(y)")
    assert close(found, x, 1e-6, 1e-6), "the inverse does not undo the transform"
    assert close(log_det, -slope.flatten(1).sum(1), 1e-4, 1e-4), "log_det is that of the inverse map, y to x"


@weight(1)
def test_far_out(student, rng):
    """For large |y|, beyond what the transform itself gives, the inverse and its log_det stay finite and right."""
    y = torch.tensor([[60.0, -60.0], [-300.0, 200.0], [45.0, 40.0]], dtype=torch.float64) * (1 + torch.rand(3, 1, generator=rng))
    x, log_det = applied(lambda rows: student.inverse_logit_transform(rows, 0.05), y, "inverse_logit_transform(y)")
    assert close(x, (y.sigmoid() - 0.05) / 0.9, 1e-9, 1e-9), "the inverse is not (sigmoid(y) - alpha) / (1 - 2 alpha)"
    slope = -y.abs() - math.log(0.9)  # log sigmoid(y) + log sigmoid(-y) = -|y| up to exp(-|y|)
    assert close(log_det, slope.sum(1), 1e-6), "log_det is wrong where sigmoid(y) is 0 or 1 up to rounding: use logsigmoid"


@weight(1)
def test_gradients(student, rng):
    """Gradients flow through the transform and its inverse, values and log_dets; float32 stays float32."""
    x = torch.rand(6, 4, generator=rng, dtype=torch.float64) * 0.9 + 0.05
    source = "def part(x):\n    return call(x, 0.05)[{}].reshape(len(x), -1).sum(1)"
    for call, at in ((student.logit_transform, x), (student.inverse_logit_transform, logit(x, 0.05)[0])):
        for which in (0, 1):
            score = student.stub(source.format(which), "part", call=call)
            slope, reported, norm = input_slope(student, score, at, rng)
            assert norm.min() > 1e-3, "a gradient is zero: is something detached?"
            assert ((slope - reported).abs() < 1e-3 * norm).all(), "a gradient is not the slope"
    y, log_det = student.logit_transform(x.float(), 0.05)
    assert y.dtype == log_det.dtype == torch.float32, "results take over the dtype of the input"
    assert close(y, logit(x, 0.05)[0].float(), 1e-3, 1e-4), "in float32 the transform gives other values"


@weight(2)
def test_bits_per_dim(student, rng):
    """The uniform density on [0, 1) costs log2 K bits per dimension, and a factor e in density saves 1 / (D ln 2)."""
    for num_dims, num_levels in ((784, 2), (7, 17), (3 * 32 * 32, 256)):
        base = student.bits_per_dim(0.0, num_dims, num_levels)
        assert close_number(base, math.log2(num_levels), rtol=1e-5), "a uniform density on [0, 1)^D must cost log2 K bits/dim"
        nats = float(200 * torch.randn((), generator=rng))
        found = student.bits_per_dim(nats, num_dims, num_levels)
        expected = math.log2(num_levels) - nats / (num_dims * math.log(2))
        assert close_number(found, expected, rtol=1e-5, atol=1e-6), "more density costs fewer bits: sign, nats to bits, D?"


@weight(1)
@pytest.mark.parametrize("shape", [(6,), (2, 3)], ids=str)
def test_bits_per_dim_of_a_batch(student, rng, shape):
    """A tensor of log-densities gives the bits per dimension of each."""
    nats = 50 * torch.randn(shape, generator=rng, dtype=torch.float64)
    found = require_tensor(student.bits_per_dim(nats, 12, 17), shape, "float", "bits_per_dim of a tensor")
    assert close(found, math.log2(17) - nats / (12 * math.log(2)), 1e-5, 1e-6), "the cost is not that of each entry"
