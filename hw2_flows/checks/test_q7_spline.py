"""Rational-quadratic splines: knots and slopes as defined, the identity outside, the way back, finite gradients everywhere."""

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.maps import require_round_trip, require_slopes, require_volume, value_of
from autograder.checking.probes import influence, randomize, union

Parameters = tuple[Tensor, Tensor, Tensor]


def parameters(rng: torch.Generator, shape: tuple[int, ...], bins: int, scale: float = 1.5) -> Parameters:
    """Unnormalised widths, heights (*shape, bins) and derivatives (*shape, bins - 1)."""
    sizes = (bins, bins, bins - 1)
    return tuple(scale * torch.randn(*shape, n, generator=rng, dtype=torch.float64) for n in sizes)


def knots(unnormalised: Parameters, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """x and y of the knots and the slopes there, (..., K+1) each, as the conventions define them."""
    widths, heights, derivatives = unnormalised

    def places(sizes: Tensor) -> Tensor:
        shares = 1e-3 + (1 - 1e-3 * sizes.shape[-1]) * sizes.softmax(-1)
        return 2 * bound * torch.cat([torch.zeros_like(shares[..., :1]), shares.cumsum(-1)], -1) - bound

    ends = torch.ones_like(widths[..., :1])
    return places(widths), places(heights), torch.cat([ends, 1e-3 + torch.nn.functional.softplus(derivatives), ends], -1)


def spline(student, x: Tensor, unnormalised: Parameters, bound: float, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """(y, log_det) of the student's spline, both confirmed to be finite floats of x's shape."""
    options = {"inverse": True} if inverse else {}
    result = student.rational_quadratic_spline(x, *unnormalised, bound, **options)
    assert type(result) in (tuple, list) and len(result) == 2, "the spline must return two tensors, y and log_det"
    return tuple(require_tensor(part, x.shape, "float", name) for part, name in zip(result, ("y", "log_det")))


def inside(rng: torch.Generator, shape: tuple[int, ...], bound: float) -> Tensor:
    return bound * (2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1)


def at_knots(unnormalised: Parameters) -> Parameters:
    """The parameters (R, K) of R splines, repeated for the K+1 knots of each: (R, K+1, K)."""
    count = unnormalised[0].shape[-1] + 1
    return tuple(p[:, None].expand(-1, count, -1).contiguous() for p in unnormalised)


@weight(3)
@pytest.mark.parametrize("bins, bound", [(5, 3.0), (2, 1.0), (8, 5.5)])
def test_passes_through_its_knots(student, rng, bins, bound):
    """The spline passes through its knots, with the slopes that are given there and slope 1 at both ends."""
    unnormalised = parameters(rng, (6,), bins)
    x, y, slope = knots(unnormalised, bound)
    found, log_det = spline(student, x, at_knots(unnormalised), bound)
    assert close(found, y, 1e-5, 1e-5), "the spline misses a knot: cumulated shares of 2 B, from -B to B"
    assert close(log_det, slope.log(), 1e-3, 1e-3), "a slope at a knot is wrong: 1e-3 + softplus inside, 1 at both ends"


@weight(3)
@pytest.mark.parametrize("bins, bound", [(5, 3.0), (3, 0.7)])
def test_between_the_knots(student, rng, bins, bound):
    """Between its knots the spline is the rational quadratic of the definition."""
    unnormalised = parameters(rng, (8,), bins)
    edges, levels, slopes = knots(unnormalised, bound)
    xi = torch.tensor([0.03, 0.3, 0.5, 0.9], dtype=torch.float64)[:, None, None]
    x = edges[:, :-1] + xi * edges.diff()                                                              # (4, 8, bins)
    s = levels.diff() / edges.diff()
    below, above, curve = slopes[:, :-1], slopes[:, 1:], xi * (1 - xi)
    y = levels[:, :-1] + levels.diff() * (s * xi**2 + below * curve) / (s + (above + below - 2 * s) * curve)
    repeated = tuple(p[None, :, None].expand(4, -1, bins, -1).contiguous() for p in unnormalised)
    assert close(spline(student, x, repeated, bound)[0], y, 1e-5, 1e-5), (
        "between the knots the value is not that of the definition: which s, which slope stands at which end?"
    )


@weight(3)
@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
def test_log_det_is_the_log_slope(student, rng, inverse):
    """log_det is the logarithm of the slope, element by element, of the spline or of its inverse."""
    unnormalised, x = parameters(rng, (7, 7), 6), inside(rng, (7, 7), 2.0)
    y, log_det = spline(student, x, unnormalised, 2.0, inverse)
    step = 1e-6
    slope = (spline(student, x + step, unnormalised, 2.0, inverse)[0] - spline(student, x - step, unnormalised, 2.0, inverse)[0])
    slope = slope / (2 * step)
    assert log_det.std() > 0.1, "the slope is the same everywhere"
    assert (slope > 0).all(), "the spline does not increase"
    assert close(log_det, slope.log(), 1e-3, 1e-3), "log_det is not the logarithm of the slope of the map that was applied"


def hard_cases(rng: torch.Generator, rows: int, bins: int, bound: float) -> tuple[Tensor, Parameters]:
    """Points (4 rows, ...) for splines that are random, nearly straight, steep, and for points exactly at knots."""
    usual, steep = parameters(rng, (rows, bins + 1), bins), parameters(rng, (rows, bins + 1), bins, 4.0)
    line = torch.log(torch.expm1(torch.tensor(1 - 1e-3, dtype=torch.float64)))  # softplus(line) + 1e-3 = 1
    tiny = 1e-9 * torch.randn(rows, bins + 1, bins, generator=rng, dtype=torch.float64)
    straight = (usual[0], usual[0] + tiny, torch.full_like(usual[2], float(line)))
    few = parameters(rng, (rows,), bins)
    x = torch.cat([inside(rng, (3 * rows, bins + 1), bound), knots(few, bound)[0]])
    return x, tuple(torch.cat(parts) for parts in zip(usual, straight, steep, at_knots(few)))


@weight(3)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-7), (torch.float32, 2e-3)], ids=["float64", "float32"])
def test_round_trip(student, rng, dtype, tolerance):
    """inverse=True undoes the spline: in random, steep and nearly straight bins, and at the knots."""
    rows, bins, bound = 40, 6, 3.0
    x, unnormalised = hard_cases(rng, rows, bins, bound)
    if dtype == torch.float32:  # steep bins lose digits in any way of computing
        keep = torch.cat([torch.arange(2 * rows), torch.arange(3 * rows, 4 * rows)])
        x, unnormalised = x[keep], tuple(p[keep] for p in unnormalised)
    x, unnormalised = x.to(dtype), tuple(p.to(dtype) for p in unnormalised)
    y, log_det = spline(student, x, unnormalised, bound)
    assert (y - x).abs().max() > 0.1, "the spline is the identity"
    # Where the spline is flat, y does not determine x; its slope says how far rounding can move x.
    slack = (-log_det).exp().clamp(min=1.0)
    found, opposite = spline(student, y, unnormalised, bound, inverse=True)
    assert ((found - x).abs() < tolerance * slack).all(), "the inverse of y is not x: which bins, and which root?"
    smooth = torch.arange(len(x)) < rows
    if dtype == torch.float64:
        assert close(opposite[smooth], -log_det[smooth], 1e-4, 1e-4), "log_det of the inverse is minus the spline's at the same point"


@weight(2)
@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
def test_identity_outside(student, rng, inverse):
    """Outside [-bound, bound] the spline is the identity with log_det 0, and it gets there without a jump in value or slope."""
    bound, sign = 2.5, torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    far = sign * bound * torch.tensor([1 + 1e-9, 1.001, 1.7, 40.0, 1e8], dtype=torch.float64)
    unnormalised = parameters(rng, (2, 5), 5)
    y, log_det = spline(student, far, unnormalised, bound, inverse)
    assert close(y, far, 1e-12), "outside the bound the value changes"
    assert close(log_det, torch.zeros_like(far), 0, 1e-6), "outside the bound log_det is not 0"
    near = (sign * bound * (1 - 1e-7)).expand(2, 5).contiguous()
    y, log_det = spline(student, near, unnormalised, bound, inverse)
    assert close(y, near, 0, 1e-5) and close(log_det, torch.zeros_like(near), 0, 1e-3), "value or slope jump at the bound"
    middle = inside(rng, (2, 5), 0.6 * bound)
    assert not close(spline(student, middle, unnormalised, bound, inverse)[0], middle, 0, 1e-3), "the spline is the identity"


@weight(2)
def test_extreme_parameters(student, rng):
    """For extreme numbers bins keep a least width and height, slopes a least size: all is finite, and increases."""
    bins, bound, rows = 5, 2.0, 12
    line = torch.linspace(-bound, bound, 400, dtype=torch.float64).expand(rows, -1).contiguous()
    usual = parameters(rng, (rows,), bins, 40.0)
    repeated = tuple(p[:, None].expand(-1, 400, -1).contiguous() for p in usual)
    y, log_det = spline(student, line, repeated, bound)
    assert (y - line).abs().max() > 0.1, "the spline is the identity"
    assert (y.diff(dim=1) > 0).all(), "the spline does not strictly increase when parameters are extreme"
    spline(student, line, repeated, bound, inverse=True)
    x, levels, _ = knots(usual, bound)
    assert close(spline(student, x, at_knots(usual), bound)[0], levels, 1e-4, 1e-4), "bins don't have the share 1e-3 that is left"


@weight(2)
@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
def test_gradients(student, rng, inverse):
    """Gradients to x and to all parameters are the slopes, and finite everywhere: outside, at the bound, at the knots."""
    bins, bound = 4, 2.0
    for output in (0, 1):
        x, unnormalised = inside(rng, (9,), bound), parameters(rng, (9,), bins)
        arguments = (x, *unnormalised)
        options = {"inverse": inverse, "output": output}
        gradients = student.gradient(student.rational_quadratic_spline, *arguments, bound, wrt=(0, 1, 2, 3), **options)
        directions = [torch.randn(a.shape, generator=rng, dtype=torch.float64) for a in arguments]
        for i, (gradient, direction) in enumerate(zip(gradients, directions)):
            moved = [[a + s * 1e-6 * direction if i == j else a for j, a in enumerate(arguments)] for s in (1, -1)]
            ahead, behind = (spline(student, m[0], tuple(m[1:]), bound, inverse)[output] for m in moved)
            slope = (ahead - behind) / 2e-6
            reported = (gradient.double() * direction).reshape(9, -1).sum(1)
            assert slope.abs().max() > 1e-4, "a parameter has no effect"
            assert (slope - reported).abs().max() < 1e-2 * (1 + slope.abs().max()), "a gradient is not the slope"
        edges = knots(unnormalised, bound)[inverse]
        hard = torch.cat([edges, edges.new_tensor([-1e8, -bound * 1.01, bound * 1.01, 7.0, 1e8]).expand(9, 5)], 1)
        repeated = tuple(p[:, None].expand(-1, hard.shape[1], -1).contiguous() for p in unnormalised)
        found = student.gradient(student.rational_quadratic_spline, hard, *repeated, bound, wrt=(0, 1, 2, 3), **options)
        assert all(torch.isfinite(g).all() for g in found), (
            "a gradient is NaN or infinite outside the bound, at it, or at a knot: torch.where passes on the NaN of the other branch"
        )
        assert close(found[0][:, -5:], torch.full((9, 5), 1.0 - output).double(), 0, 1e-6), "outside, the map is the identity"


@weight(1)
def test_any_shape(student, rng):
    """The spline works element by element for any leading shape, in float32 too, and does not mix elements."""
    bound, unnormalised, x = 1.5, parameters(rng, (2, 3, 4), 4), 2 * inside(rng, (2, 3, 4), 1.5)
    y, log_det = spline(student, x, unnormalised, bound)
    assert (y - x).abs().max() > 0.05, "the spline is the identity"
    one = (1, 2, 3)
    part = spline(student, x[one][None], tuple(p[one][None] for p in unnormalised), bound)
    assert close(part[0], y[one][None], 1e-9) and close(part[1], log_det[one][None], 1e-6, 1e-9), "elements influence each other"
    flat = spline(student, x.flatten(), tuple(p.flatten(0, 2) for p in unnormalised), bound)
    assert close(flat[0].view_as(y), y, 1e-9) and close(flat[1].view_as(y), log_det, 1e-6, 1e-9), "the shape changes the result"
    single = spline(student, x.float(), tuple(p.float() for p in unnormalised), bound)
    assert single[0].dtype == torch.float32, "float32 in, float32 out"
    assert close(single[0], y.float(), 1e-3, 1e-4), "in float32 the spline gives other values"


@weight(3)
def test_spline_coupling(student, rng):
    """SplineCoupling: dimensions with mask 1 pass and steer the others; volume and way back are right."""
    mask = torch.tensor([1, 0, 0, 1, 0])
    passes, layer = mask.bool(), student.SplineCoupling(mask, 16, 5, 2.0).double()
    randomize(student, layer, rng)
    x = 1.2 * torch.randn(6, 5, generator=rng, dtype=torch.float64)
    log_det = require_volume(layer, x, "forward(x)", "log_det is not that of the Jacobian: which dimensions count?")
    assert log_det.std() > 1e-3, "log_det is the same for all inputs"
    require_round_trip(layer, layer.inverse, x, "forward(x)", 1e-6)
    assert close(value_of(layer, x)[:, passes], x[:, passes], 1e-12, 1e-12), "dimensions with mask 1 must pass unchanged"

    def probe() -> Tensor:
        randomize(student, layer, rng)
        return influence(lambda rows: value_of(layer, rows), (5,), rng, bases=6)

    may = torch.eye(5, dtype=torch.bool) | (~passes[:, None] & passes[None, :])
    seen = union(probe, may)
    assert not (seen & ~may).any(), "a transformed dimension moves another one"
    assert not (may & ~seen).any(), "a transformed dimension does not depend on one that passes, or on itself"
    require_slopes(student, layer, layer, x, rng, shares=[1.0])
