"""A stack of layers, checked with layers whose maps and volumes are known: so densities can be computed here, exactly."""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.maps import applied, input_slope, parameter_slope
from autograder.checking.statistics import fresh_seed, standard_normal, two_stage

# A linear map and a bend; both know their volume. The bend's differs from example to example, the two do not commute.
LINEAR = """
class Linear(nn.Module):
    def __init__(self, matrix, shift):
        super().__init__()
        self.matrix, self.shift = nn.Parameter(matrix), nn.Parameter(shift)

    def forward(self, x):
        z = x.flatten(1) @ self.matrix.T + self.shift
        return z.view_as(x), torch.linalg.slogdet(self.matrix).logabsdet.expand(len(x))

    def inverse(self, z):
        x = (z.flatten(1) - self.shift) @ torch.linalg.inv(self.matrix).T
        return x.view_as(z), -torch.linalg.slogdet(self.matrix).logabsdet.expand(len(z))
"""
BEND = """
class Bend(nn.Module):
    '''z = x, but its last entry times exp(s), s = tanh of a sum over the others. It has no parameters.'''

    def __init__(self, direction):
        super().__init__()
        self.register_buffer("direction", direction)

    def scale(self, x):
        return torch.tanh(x.flatten(1)[:, :-1] @ self.direction)

    def turn(self, x, sign):
        s = sign * self.scale(x)
        flat = x.flatten(1)
        return torch.cat([flat[:, :-1], flat[:, -1:] * s.exp()[:, None]], 1).view_as(x), s

    def forward(self, x):
        return self.turn(x, 1)

    def inverse(self, z):
        return self.turn(z, -1)
"""


class Known:
    """The stack linear, bend, linear, computed here, and the same layers in the jail."""

    def __init__(self, student, rng: torch.Generator, size: int, dtype: torch.dtype = torch.float64):
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=rng, dtype=dtype)

        # A random rotation (or reflection) of unequal stretches: well conditioned, far from the identity.
        stretch = torch.linspace(0.6, 1.9, size, dtype=dtype)
        self.matrices = [torch.linalg.qr(draw(size, size)).Q * stretch for _ in "ab"]
        self.shifts, self.direction = [draw(size) for _ in "ab"], draw(size - 1)
        linear = [student.stub(LINEAR, "Linear", matrix=m, shift=b) for m, b in zip(self.matrices, self.shifts)]
        self.layers = [linear[0], student.stub(BEND, "Bend", direction=self.direction), linear[1]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = x.flatten(1) @ self.matrices[0].T + self.shifts[0]
        s = torch.tanh(h[:, :-1] @ self.direction)
        h = torch.cat([h[:, :-1], h[:, -1:] * s.exp()[:, None]], 1)
        z = h @ self.matrices[1].T + self.shifts[1]
        return z.view_as(x), s + sum(torch.linalg.slogdet(m).logabsdet for m in self.matrices)


def normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) of each row, summed over all its dimensions."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)


SHAPES = [(3,), (5,), (2, 3, 2)]


def setting(student, rng: torch.Generator, shape: tuple[int, ...], batch: int = 7):
    """(known stack, the student's flow of it, random inputs)."""
    known = Known(student, rng, math.prod(shape))
    x = torch.randn(batch, *shape, generator=rng, dtype=torch.float64)
    return known, student.Flow(known.layers, shape).double(), x


@weight(3)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(student, rng, shape):
    """forward applies the layers in the order in which they are given, and adds up their log_dets, example by example."""
    known, flow, x = setting(student, rng, shape)
    z, log_det = applied(flow, x)
    expected, volume = known.forward(x)
    assert close(z, expected, 1e-6, 1e-6), "z is not what the layers give, one after the other"
    assert close(log_det, volume, 1e-4, 1e-4), "log_det is not the sum of the layers' log_dets"


@weight(3)
@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_inverse(student, rng, shape):
    """inverse goes back through the layers, last one first, and adds up the log_dets of the inverse maps."""
    known, flow, x = setting(student, rng, shape)
    z, volume = known.forward(x)
    found, log_det = applied(flow.inverse, z, "inverse(z)")
    assert close(found, x, 1e-6, 1e-6), "inverse does not undo the layers: which is undone first?"
    assert close(log_det, -volume, 1e-4, 1e-4), "log_det of inverse is not the sum of what the layers' inverses return"


@weight(3)
@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (2, 3, 2)], ids=str)
def test_log_prob(student, rng, shape):
    """log_prob is the standard normal's log-density at z plus log_det, in nats, over all dimensions of an example."""
    known, flow, x = setting(student, rng, shape, batch=max(3, math.prod(shape)))
    z, volume = known.forward(x)
    found = require_tensor(flow.log_prob(x), x.shape[:1], "float", "log_prob(x)")
    assert close(found, normal(z) + volume, 1e-4, 1e-4), (
        "log_prob is not log N(z; 0, I) + log_det: sum over all dimensions, with the constant of each, add for each example"
    )


@weight(1)
def test_any_layers(student, rng):
    """A flow may hold one layer, layers without parameters, and other flows; examples may come one by one."""
    known = Known(student, rng, 4)
    inner = student.Flow(known.layers[:2], (4,))
    x = torch.randn(5, 4, generator=rng, dtype=torch.float64)
    z, volume = known.forward(x)
    nested = student.Flow([inner, student.Flow(known.layers[2:], (4,))], (4,)).double()
    found, log_det = applied(nested, x)
    assert close(found, z, 1e-6, 1e-6) and close(log_det, volume, 1e-4, 1e-4), "a flow of flows is not their composition"
    assert close(applied(nested.inverse, z[:1])[0], x[:1], 1e-6, 1e-6), "the inverse of a flow of flows fails for one example"
    bend = student.Flow([known.layers[1]], (4,))
    s = torch.tanh(x[:, :-1] @ known.direction)
    assert close(applied(bend, x)[1], s, 1e-4, 1e-4), "a single layer without parameters gives another log_det"
    drawn = student.Flow([student.stub(BEND, "Bend", direction=known.direction.float())], (4,)).sample(6)
    assert require_tensor(drawn, (6, 4), "float", "sample(n)").std() > 0.1, "a flow without parameters can't be sampled from"


@weight(1)
def test_gradients(student, rng):
    """The gradient of log_prob is right for the layers' parameters and for x; those of both directions reach them."""
    _, flow, x = setting(student, rng, (3,))
    for call in (flow.log_prob, student.stub("def back(z):\n    return flow.inverse(z)[1]", "back", flow=flow)):
        along, reported, norm = parameter_slope(student, flow, call, x, rng)
        assert norm > 1e-3, "the gradient does not reach the layers: are they registered, is something detached?"
        assert abs(along - reported) < 0.01 * norm, "a gradient is not the slope at the layers' parameters"
        slope, reported, norm = input_slope(student, call, x, rng)
        assert norm.max() > 1e-3 and ((slope - reported).abs() < 0.01 * norm + 1e-5).all(), "a gradient at the input is wrong"


@weight(3)
@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)], ids=str)
def test_sample(student, rng, shape):
    """Samples are standard normal points sent back through the layers."""
    known, n = Known(student, rng, math.prod(shape), torch.float32), 2000
    flow = student.Flow(known.layers, shape)

    def p_value(seed: int) -> float:
        x = require_tensor(flow.sample(n, student.generator(seed)), (n, *shape), "float", "sample(n)")
        return standard_normal(known.forward(x)[0])

    assert two_stage(p_value, rng), "samples are not standard normal when they are sent forward through the layers"


@weight(1)
def test_generator_decides(student, rng):
    """The generator alone decides a draw, and examples of a draw differ."""
    known, seed = Known(student, rng, 3, torch.float32), fresh_seed(rng)
    flow, generator = student.Flow(known.layers, (3,)), student.generator(fresh_seed(rng))
    first, again = (flow.sample(40, generator=student.generator(seed)) for _ in range(2))
    others = [flow.sample(40, generator=generator) for _ in range(2)] + [flow.sample(40), flow.sample(40)]
    for found in (first, again, *others):
        require_tensor(found, (40, 3), "float", "sample(n)")
    assert first.unique().numel() > 100, "examples of one draw repeat each other"
    assert torch.equal(first, again), "two generators with the same seed give different draws"
    assert not torch.equal(first, others[0]), "generators with different seeds give the same draws"
    assert not torch.equal(others[0], others[1]), "a second draw from one generator repeats the first"
    assert not torch.equal(others[2], others[3]), "without a generator two draws are the same"
    double = student.Flow(Known(student, rng, 3).layers, (3,)).double().sample(2)
    assert double.dtype == torch.float64, "samples come in the dtype of the parameters"
