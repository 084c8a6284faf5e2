"""A mixture's CDF as a flow: slope, mass, family, way back, tails.

The parametrisation is the student's. So parameters are set at random; and where a check needs a component at a place, or of a
width, it finds out by the values of a single component which parameter moves it and which widens it.
"""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.maps import applied, input_slope, parameter_slope
from autograder.checking.probes import reload

WIDE = torch.linspace(-220, 220, 2201, dtype=torch.float64)


class Model:
    """A student's mixture in float64 with its parameters in our hands."""

    def __init__(self, student, num_components: int):
        self.student, self.size = student, num_components
        self.remote = student.MixtureCDF(num_components).double()
        self.fresh = student.parameters(self.remote)
        shapes = [tuple(p.shape) for p in self.fresh.values()]
        assert shapes == [(num_components,)] * 3, (
            "the model must have exactly three learnable parameters, each of shape (num_components,)"
        )

    def draw(self, rng: torch.Generator, scale: float = 1.0) -> dict[str, Tensor]:
        """Random parameters on a shuffled grid with jitter, so that no two components are alike."""
        grid = torch.linspace(-1.5, 1.5, self.size) if self.size > 1 else torch.zeros(1)
        jitter = 0.3 * torch.randn(3, self.size, generator=rng)
        return {
            name: (scale * (grid[torch.randperm(self.size, generator=rng)] + jitter[i])).double()
            for i, name in enumerate(self.fresh)
        }

    def at(self, parameters: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """(z, log_det) at x (B,) under these parameters."""
        self.student.set_parameters(self.remote, parameters)
        return applied(self.remote, x)


def line(n: int, extent: float) -> Tensor:
    return torch.linspace(-extent, extent, n, dtype=torch.float64)


def bulk(model: Model, parameters: dict[str, Tensor], n: int = 200) -> Tensor:
    """Points (up to n) of a grid where the mixture's density is not negligible."""
    x = torch.cat([line(801, 8), line(400, 60)])
    log_det = model.at(parameters, x)[1]
    assert log_det.max() > -8, "there is no density between -60 and 60, although the parameters are of the size 1"
    x = x[log_det > -8]
    return x[torch.linspace(0, len(x) - 1, min(n, len(x))).long()]


@weight(3)
@pytest.mark.parametrize("num_components", [1, 3, 16])
def test_log_det_is_the_log_slope(student, rng, num_components):
    """log_det is the logarithm of the slope dz/dx, for narrow and wide components."""
    model = Model(student, num_components)
    for scale in (0.5, 1.0, 2.0):
        parameters = model.draw(rng, scale)
        x = bulk(model, parameters, 16)  # as many points as components: a silent broadcast gives (16,), too
        step = 1e-6
        ahead, behind = model.at(parameters, torch.cat([x + step, x - step]))[0].chunk(2)
        z, log_det = model.at(parameters, x)
        assert log_det.max() > log_det.min(), "log_det is the same everywhere"
        assert ((z >= 0) & (z <= 1)).all(), "z must lie between 0 and 1"
        assert close((ahead - behind) / (2 * step), log_det.exp(), 1e-4, 1e-8), "log_det is not the logarithm of the map's slope"


@weight(2)
def test_density_integrates_to_one(student, rng):
    """z rises from 0 to 1, and log_prob is a density: its exponential integrates to 1."""
    model = Model(student, 4)
    for scale in (0.5, 1.5):
        parameters = model.draw(rng, scale)
        x = torch.cat([line(4001, 40), line(400, 1000)]).sort().values
        z, log_det = model.at(parameters, x)
        assert (z.diff() >= -1e-12).all(), "z falls somewhere: a CDF never does"
        assert z[0] < 1e-3 and z[-1] > 1 - 1e-3, "z does not rise from 0 to 1"
        log_prob = require_tensor(model.remote.log_prob(x), x.shape, "float", "log_prob(x)")
        mass = torch.trapezoid(log_prob.exp(), x)
        assert abs(mass - 1) < 1e-2, "exp(log_prob) does not integrate to 1: the base density is Uniform(0, 1)"
        assert close(log_prob, log_det), "under a uniform base log_prob is log_det itself"


def straightness(z: Tensor, x: Tensor, transform) -> float:
    """How far transform(z) is from a straight line in x, relative to its range."""
    y = transform(z)
    basis = torch.stack([x, torch.ones_like(x)], 1)
    return float((basis @ torch.linalg.lstsq(basis, y[:, None]).solution - y[:, None]).abs().max() / (y.max() - y.min()))


@weight(1)
def test_one_component(student, rng):
    """One component alone is the CDF of a Gaussian (or of a logistic)."""
    model = Model(student, 1)
    for scale in (1.0, 3.0):
        parameters = model.draw(rng, scale)
        x = bulk(model, parameters, 400)
        z = model.at(parameters, x)[0]
        keep = (z > 1e-4) & (z < 1 - 1e-4)
        assert keep.sum() > 5 and z[keep].max() - z[keep].min() > 0.5, "z does not rise where the density is"
        bends = [straightness(z[keep], x[keep], transform) for transform in (torch.special.ndtri, torch.logit)]
        assert min(bends) < 1e-3, "the CDF of one component is neither Gaussian nor logistic"


@weight(2)
def test_mixes(student, rng):
    """The mixture's CDF is a weighted mean of the components' CDFs; all parameters matter, the order does not."""
    model, single = Model(student, 3), Model(student, 1)
    parameters = model.draw(rng)
    x = bulk(model, parameters)
    parts = [single.at({name: p[i : i + 1] for name, p in parameters.items()}, x)[0] for i in range(3)]
    z, log_det = model.at(parameters, x)
    basis = torch.stack(parts, 1)                                                                   # (points, components)
    shares = torch.linalg.lstsq(basis, z[:, None]).solution
    assert z.max() - z.min() > 0.5, "z does not rise where the density is"
    assert ((basis @ shares)[:, 0] - z).abs().max() < 1e-4, "the mixture is no weighted mean of what its components give alone"
    assert shares.min() > 1e-3 and abs(shares.sum() - 1) < 1e-2, "the weights are not positive numbers that sum to 1"
    order = torch.tensor([2, 0, 1])
    assert close(model.at({name: p[order] for name, p in parameters.items()}, x)[1], log_det), (
        "the same components in another order give another density"
    )
    for name, p in parameters.items():
        changed = model.at({**parameters, name: p.flip(0) + torch.tensor([0.0, 0.5, -0.5])}, x)[0]
        assert (changed - z).abs().max() > 1e-4, "one of the three parameters has no effect on a mixture"


def require_way_back(model: Model, parameters: dict[str, Tensor], x: Tensor) -> None:
    """Fail unless inverse finds each x where z is in range and the density determines it."""
    z, log_det = model.at(parameters, x)
    known = torch.nonzero((z > 1e-4) & (z < 1 - 1e-4) & (log_det > math.log(2e-6)))[:, 0]
    assert len(known) > 20, "z does not rise where the density is"
    known = known[torch.linspace(0, len(known) - 1, 120).long()]
    found, opposite = applied(model.remote.inverse, z[known], "inverse(z)")
    assert ((found - x[known]).abs() <= 2e-6).all(), "inverse(z) is farther than 1e-6 from the x with forward(x) = z"
    assert close(opposite, -log_det[known], 1e-4, 1e-3), "log_det of inverse is that of the inverse map, at the x it finds"


def dense(model: Model, parameters: dict[str, Tensor]) -> Tensor:
    """A wide grid, refined where z jumps: narrow components hide between grid points."""
    z = model.at(parameters, WIDE)[0]
    jumps = z.diff().topk(40).indices
    inner = torch.linspace(0, 1, 22, dtype=torch.float64)[1:-1]
    refined = WIDE[jumps, None] + (WIDE[1] - WIDE[0]) * inner
    return torch.cat([WIDE, refined.flatten()])


@weight(2)
@pytest.mark.parametrize("num_components, scale", [(1, 0.7), (5, 1.4)], ids=["one component", "five"])
def test_inverse(student, rng, num_components, scale):
    """inverse finds x to within 1e-6, and returns the log_det of the inverse map."""
    model = Model(student, num_components)
    parameters = model.draw(rng, scale)
    require_way_back(model, parameters, bulk(model, parameters, 120))


def roles(single: Model) -> tuple[str, str]:
    """Names of the parameters that move one component and that widen it, found by what they do to its curve."""
    base = {name: torch.full((1,), 0.3, dtype=torch.float64) for name in single.fresh}
    x = torch.cat([line(4001, 20), line(2001, 60)]).sort().values

    def curve(parameters: dict[str, Tensor]) -> Tensor:
        """Median and peak of the density."""
        z, log_det = single.at(parameters, x)
        return torch.stack([x[(z - 0.5).abs().argmin()], log_det.max()])

    start = curve(base)
    change = {name: (curve({**base, name: p + 0.5}) - start).abs() for name, p in base.items()}
    widens = [name for name in change if change[name][1] > 0.05]
    moves = [name for name in change if change[name][1] <= 0.05 and change[name][0] > 0.05]
    assert len(widens) == len(moves) == 1, "one parameter must move a component, and one must change its width"
    return moves[0], widens[0]


def extreme_widths(single: Model, moves: str, widens: str) -> tuple[float, float]:
    """Parameter values that make a component about as narrow, and as wide, as the handout promises to be served."""
    base = {name: torch.zeros(1, dtype=torch.float64) for name in single.fresh}
    x = torch.cat([line(8001, 0.4), line(2001, 20)]).sort().values
    known = {}
    for value in (-4.5, -3.5, -2.5, 1.0, 2.0, 2.8, 19.0):
        z, log_det = single.at({**base, widens: torch.full((1,), value, dtype=torch.float64)}, x)
        # A logistic's scale is 1 / (4 peak), a Gaussian's 1 / (2.5 peak); rather too narrow a range than too wide a one.
        scale = float((-log_det.max()).exp())
        if scale / 4 >= 0.01 and scale / 2.5 <= 20:
            known[value] = scale
    assert len(known) > 1, "the widths of components can't be chosen between 0.01 and 20"
    return min(known, key=known.get), max(known, key=known.get)


@weight(2)
def test_inverse_of_extremes(student, rng):
    """inverse finds x for components near -20 and 20, as narrow as 0.01 and as wide as 20, wherever z is in range."""
    single, model = Model(student, 1), Model(student, 3)
    moves, widens = roles(single)
    narrow, wide = extreme_widths(single, moves, widens)
    jitter = torch.rand(3, generator=rng, dtype=torch.float64)
    places = torch.tensor([-19.5, -0.5, 18.5], dtype=torch.float64) + jitter
    for widths in ([narrow, narrow, narrow], [wide, narrow, wide]):
        parameters = {name: 0.3 * jitter.roll(1) for name in model.fresh}
        parameters |= {moves: places, widens: torch.tensor(widths, dtype=torch.float64)}
        require_way_back(model, parameters, dense(model, parameters))


@weight(2)
def test_tails(student, rng):
    """log_det stays finite and keeps falling far in the tails, and so do its gradients."""
    model = Model(student, 3)
    parameters = model.draw(rng, 0.7)
    middle = bulk(model, parameters)
    far = 80 * middle.abs().max() * torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]).double()
    log_det = model.at(parameters, far)[1]
    steps = torch.cat([log_det[:3].diff(), -log_det[3:].diff()])
    assert (steps > 1).all(), "log_det does not fall towards the tails: is it cut off by a clamp or a small constant?"
    gradients = student.parameter_gradient(model.remote, model.remote.log_prob, far)
    gradients |= {"x": student.gradient(model.remote.log_prob, far)[0]}
    for gradient in gradients.values():
        assert torch.isfinite(gradient).all(), "a gradient is NaN or infinite in the tails"
    assert gradients["x"].abs().min() > 1e-3, "the gradient of log_prob vanishes in the tails"


@weight(2)
def test_gradients(student, rng):
    """Gradients of log_prob are right for all parameters and for x, z's too; a fresh mixture's components differ."""
    model = Model(student, 3)
    fresh = torch.stack(list(model.fresh.values()))                                               # (3 kinds, components)
    assert (fresh[:, None, :] - fresh[:, :, None]).abs().amax(0).add(torch.eye(3)).min() > 1e-6, (
        "two components of a fresh model are equal: training moves them together for ever"
    )
    parameters = model.draw(rng)
    x = bulk(model, parameters, 12)
    _, log_det = model.at(parameters, x)
    along, reported, norm = parameter_slope(student, model.remote, model.remote.log_prob, x, rng)
    assert norm > 1e-3, "the gradient does not reach the parameters"
    assert abs(along - reported) < 0.01 * norm, "the gradient of log_prob is not its slope: is a parameter detached?"
    slope, reported, norm = input_slope(student, model.remote.log_prob, x, rng)
    assert norm.max() > 1e-3 and ((slope - reported).abs() < 0.01 * norm + 1e-5).all(), "the gradient at x is not the slope"
    (rise,) = student.gradient(model.remote, x, output=0)
    assert close(rise, log_det.exp(), 1e-4, 1e-8), "the gradient of z is not the density"


@weight(1)
def test_examples_are_independent(student, rng):
    """Every entry of a batch is treated by itself, forward and back, in float32 too; saving and loading keeps the mixture."""
    model, single = Model(student, 3), student.MixtureCDF(3)
    parameters = model.draw(rng, 0.7)
    x = bulk(model, parameters, 3)
    z, log_det = model.at(parameters, x)
    assert log_det.max() > log_det.min(), "log_det is the same everywhere"
    for i in range(3):
        one, part = applied(model.remote, x[i : i + 1])
        assert close(one, z[i : i + 1], 1e-9) and close(part, log_det[i : i + 1]), "a batch of one gives another result"
    alone = applied(model.remote.inverse, z[1:2], "inverse(z)")[0]
    assert close(alone, x[1:2], 0, 1e-4), "inverse gives another result for a batch of one"
    student.set_parameters(single, {name: p.float() for name, p in parameters.items()})
    for found in (applied(single, x.float()), applied(reload(student, model.remote, student.MixtureCDF(3)), x.float())):
        assert close(found[0], z.float(), 1e-3, 1e-5) and close(found[1], log_det.float(), 1e-3, 1e-3), (
            "in float32, or after loading the saved state, the mixture is another one"
        )
