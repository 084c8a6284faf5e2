"""MAF: who may depend on whom, volume by the numerical Jacobian, the way back, samples, whatever the network's design."""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.maps import applied, log_volumes, require_round_trip, require_slopes, require_volume, value_of
from autograder.checking.probes import cyclic_ordering, influence, randomize, reload, union
from autograder.checking.statistics import fresh_seed, standard_normal, two_stage

NO_EDGE_OUT = "a dimension depends on one that comes later in the ordering (ordering[d] is the rank of d)"
NO_EDGE_LOST = "does not depend on every dimension of lower rank: check the degrees and both comparisons"


def lower(ordering: list[int]) -> Tensor:
    """(D, D) bool: dimension j has lower rank than dimension d."""
    rank = torch.tensor(ordering)
    return rank[None, :] < rank[:, None]


def build(student, rng: torch.Generator, ordering: list[int], hidden: int = 24, scale: float = 1.0):
    """A MAF in float64 with random weights."""
    maf = student.MAF(len(ordering), hidden, ordering).double()
    randomize(student, maf, rng, scale)
    return maf


def points(rng: torch.Generator, batch: int, num_dims: int) -> Tensor:
    return torch.randn(batch, num_dims, generator=rng, dtype=torch.float64)


def require_changing(log_det: Tensor) -> None:
    """Fail for a layer that stretches all points alike: it shows nothing."""
    assert log_det.std() > 1e-3, "log_det is the same for all inputs: the scale must depend on the dimensions before"


def orderings(num_dims: int, rng: torch.Generator) -> dict[str, list[int] | None]:
    reverse = list(range(num_dims))[::-1]
    return {"default": None, "reversed": reverse, "cycle": cyclic_ordering(num_dims, rng), "narrow": cyclic_ordering(num_dims, rng)}


@weight(4)
@pytest.mark.parametrize("case", ["default", "reversed", "cycle", "narrow"])
def test_dependencies_are_exact(student, rng, case):
    """z_d depends on x_d and on every dimension of lower rank, and on nothing else (narrow: just D - 1 hidden units)."""
    ordering = orderings(5, rng)[case]
    maf = student.MAF(5, 4 if case == "narrow" else 32, ordering).double()

    def probe() -> Tensor:
        randomize(student, maf, rng)
        return influence(lambda x: value_of(maf, x), (5,), rng, bases=8)

    before = lower(ordering or list(range(5)))
    may = before | torch.eye(5, dtype=torch.bool)
    seen = union(probe, may, tries=16)
    assert not (seen & ~may).any(), NO_EDGE_OUT
    assert not (may & ~seen).any(), "a dimension " + NO_EDGE_LOST


@weight(3)
@pytest.mark.parametrize("part", ["scale", "shift"])
def test_scale_and_shift(student, rng, part):
    """Both the scale and the shift of a dimension depend on every dimension of lower rank, and z_d is affine in x_d."""
    ordering = cyclic_ordering(5, rng)
    before, maf = lower(ordering), student.MAF(5, 32, ordering).double()
    eye = torch.eye(5, dtype=torch.float64)

    def factors(x: Tensor) -> Tensor:
        """exp(-a_d) at each row, from z_d at x_d and at x_d + 1, for all d in one call: (B, D)."""
        moved = value_of(maf, (x[:, None] + torch.cat([0 * eye[:1], eye])).reshape(-1, 5)).reshape(len(x), 6, 5)
        return moved[:, 1:].diagonal(dim1=1, dim2=2) - moved[:, 0]

    def shifts(x: Tensor) -> Tensor:
        """-mu_d exp(-a_d) at each row, from z_d at x_d = 0, for all d in one call: (B, D)."""
        return value_of(maf, (x[:, None] * (1 - eye)).reshape(-1, 5)).reshape(len(x), 5, 5).diagonal(dim1=1, dim2=2)

    def probe() -> Tensor:
        randomize(student, maf, rng)
        return influence(factors if part == "scale" else shifts, (5,), rng, bases=4)

    seen = union(probe, before)
    assert not (seen & torch.eye(5, dtype=torch.bool)).any(), "z_d is no affine function of x_d"
    assert not (seen & ~before).any(), NO_EDGE_OUT
    assert not (before & ~seen).any(), f"the {part} of a dimension " + NO_EDGE_LOST
    assert (factors(points(rng, 9, 5)) > 0).all(), "z_d must grow with x_d, for all parameters"


@weight(1)
def test_narrow_networks_never_leak(student, rng):
    """With fewer hidden units than dimensions some dependencies go, but nothing leaks."""
    for hidden in (1, 2, 3):
        ordering = cyclic_ordering(6, rng)
        maf = build(student, rng, ordering, hidden)
        may = lower(ordering) | torch.eye(6, dtype=torch.bool)
        seen = influence(lambda x, maf=maf: value_of(maf, x), (6,), rng, bases=3)
        assert not (seen & ~may).any(), NO_EDGE_OUT
        assert seen.diagonal().all(), "a dimension does not depend on itself"
        values = value_of(maf, points(rng, 2, 6))
        assert (values - value_of(maf, torch.zeros(2, 6, dtype=torch.float64))).std() > 1e-3, "the layer is constant"
    bias = build(student, rng, [0, 1, 2], 1)
    assert not close(value_of(bias, 0 * points(rng, 1, 3)), torch.zeros(1, 3).double(), 0, 1e-3), "the layer never shifts"


@weight(3)
@pytest.mark.parametrize("num_dims", [2, 5])
def test_log_det(student, rng, num_dims):
    """log_det is the logarithm of the Jacobian's determinant, for every example by itself."""
    maf, x = build(student, rng, cyclic_ordering(num_dims, rng)), points(rng, 6, num_dims)
    log_det = require_volume(maf, x, "forward(x)", "log_det is not that of the Jacobian of z = (x - mu) exp(-a): sign of a?")
    require_changing(log_det)


@weight(3)
@pytest.mark.parametrize("scale", [0.6, 1.5], ids=["gentle", "steep"])
def test_inverse(student, rng, scale):
    """inverse undoes forward, dimension by dimension in the order of the ranks, also where scales are far from 1."""
    maf, x = build(student, rng, cyclic_ordering(5, rng), scale=scale), points(rng, 7, 5)
    z, log_det = require_round_trip(maf, maf.inverse, x, "forward(x)", 1e-5, log_det=False)
    require_changing(log_det)
    assert (z - x).abs().mean() > 1e-3, "the layer changes nothing"


@weight(1)
def test_log_det_of_the_inverse(student, rng):
    """The log_det that inverse returns is that of the inverse map."""
    maf, x = build(student, rng, cyclic_ordering(4, rng), scale=0.6), points(rng, 7, 4)
    z = value_of(maf, x)
    log_det = require_volume(maf.inverse, z, "inverse(z)", "log_det of inverse is not that of the inverse map's Jacobian")
    require_changing(log_det)


@weight(2)
@pytest.mark.parametrize("num_dims", [1, 2, 5])
def test_log_prob(student, rng, num_dims):
    """log_prob is the standard normal's log-density at z plus the volume, so that the density integrates to 1."""
    maf, x = build(student, rng, cyclic_ordering(num_dims, rng), scale=0.8), points(rng, max(3, num_dims), num_dims)
    found = require_tensor(maf.log_prob(x), x.shape[:1], "float", "log_prob(x)")
    z = value_of(maf, x)
    volume, smooth = log_volumes(lambda rows: value_of(maf, rows), x)
    expected = -0.5 * (z**2 + math.log(2 * math.pi)).sum(1) + volume
    assert num_dims == 1 or volume.std() > 1e-6, "the volume is the same for all inputs"
    assert close(found[smooth], expected[smooth], 1e-4, 1e-4 * num_dims), "log_prob is not log N(z; 0, I) + log|det dz/dx|"
    assert not close(found, -0.5 * (x**2 + math.log(2 * math.pi)).sum(1), 1e-3, 1e-3), "the layer does nothing"


@weight(1)
def test_gradients(student, rng):
    """Gradients of z and of log_det are right, for the parameters and for the input; the masks hold after a step."""
    ordering = cyclic_ordering(4, rng)
    maf, x = build(student, rng, ordering, scale=0.7), points(rng, 8, 4)
    require_changing(applied(maf, x)[1])
    require_slopes(student, maf, maf, x, rng)
    settings = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1}
    student.optimizer_steps(maf, maf.log_prob, x, cotangent=-torch.ones(8), settings=settings)
    seen = influence(lambda rows: value_of(maf, rows), (4,), rng, bases=2)
    assert not (seen & ~lower(ordering) & ~torch.eye(4, dtype=torch.bool)).any(), "after training steps " + NO_EDGE_OUT


@weight(3)
def test_sample(student, rng):
    """Samples are distributed as log_prob says: sent forward they are standard normal."""
    ordering, n = cyclic_ordering(4, rng), 1500
    maf = student.MAF(4, 32, ordering)
    x = points(rng, 200, 4).float()
    found = []
    for scale in (1.2, 1.0, 0.8, 0.6):  # weights that make dimensions depend on each other, but do not explode
        parameters = randomize(student, maf, rng, scale)
        spread = float(applied(maf, x)[1].std())
        found.append((spread if spread < 2 else -spread, parameters))
    student.set_parameters(maf, max(found, key=lambda pair: pair[0])[1])
    require_changing(applied(maf, x)[1])

    def p_value(seed: int) -> float:
        drawn = require_tensor(maf.sample(n, generator=student.generator(seed)), (n, 4), "float", "sample(n)")
        return standard_normal(value_of(maf, drawn))

    assert two_stage(p_value, rng), (
        "samples, sent forward, are not standard normal: is each dimension drawn given those of lower rank?"
    )


@weight(1)
def test_generator_decides(student, rng):
    """The generator alone decides a draw, and examples of a draw differ."""
    maf = student.MAF(3, 8, cyclic_ordering(3, rng))
    randomize(student, maf, rng, 0.7)
    require_changing(applied(maf, points(rng, 9, 3).float())[1])
    seed, generator = fresh_seed(rng), student.generator(fresh_seed(rng))
    first, again = (maf.sample(40, generator=student.generator(seed)) for _ in range(2))
    others = [maf.sample(40, generator=generator) for _ in range(2)] + [maf.sample(40), maf.sample(40)]
    for found in (first, again, *others):
        require_tensor(found, (40, 3), "float", "sample(n)")
    assert first.unique().numel() > 100, "examples of one draw repeat each other"
    assert torch.equal(first, again), "two generators with the same seed give different draws"
    assert not torch.equal(first, others[0]), "generators with different seeds give the same draws"
    assert not torch.equal(others[0], others[1]), "a second draw from one generator repeats the first"
    assert not torch.equal(others[2], others[3]), "without a generator two draws are the same"


@weight(1)
def test_examples_are_independent(student, rng):
    """An example's result is the same alone and in any batch, forward and back, in float32 and eval mode too."""
    maf = student.MAF(4, 16, cyclic_ordering(4, rng))
    randomize(student, maf, rng, 0.7)
    x = points(rng, 4, 4).float()
    z, log_det = applied(maf, x)
    require_changing(log_det)
    alone, back = [applied(maf, row[None]) for row in x], applied(maf.inverse, z[2:3])[0]
    assert close(torch.cat([a for a, _ in alone]), z) and close(torch.cat([b for _, b in alone]), log_det), (
        "an example's z or log_det depends on the batch around it: log_det is one number per example"
    )
    assert close(back, x[2:3], 1e-3, 1e-3), "inverse fails for a batch of one"
    assert close(applied(maf.eval(), x)[0], z), "eval mode gives other results"


@weight(1)
def test_survives_saving(student, rng):
    """A fresh layer that loads the saved state is the same layer."""
    ordering = cyclic_ordering(5, rng)
    maf, fresh = build(student, rng, ordering, 12), student.MAF(5, 12, ordering).double()
    x = points(rng, 6, 5)
    z, log_det = applied(maf, x)
    require_changing(log_det)
    again = applied(reload(student, maf, fresh), x)
    assert close(again[0], z, 1e-9) and close(again[1], log_det), "a fresh layer that loads the state acts differently"
    assert close(value_of(fresh.inverse, z), x, 1e-5, 1e-5), "after loading, inverse does not undo forward"


@weight(1)
def test_rejects_bad_orderings(student, rng):
    """An ordering that is no permutation of 0..num_dims-1 is refused with a ValueError."""
    good = build(student, rng, [1, 2, 3, 0], 8)
    require_changing(applied(good, points(rng, 9, 4))[1])
    for ordering in ([0, 1, 1, 3], [1, 2, 3, 4], [0, 1, 2], [0, 1, 2, 3, 4], [0, -1, 2, 3]):
        assert student.refuses(ValueError, student.MAF, 4, 8, ordering), (
            "an ordering with a repeated, missing or out-of-range rank must raise ValueError"
        )
