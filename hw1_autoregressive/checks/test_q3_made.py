"""MADE: dependencies are exactly what the ordering allows, likelihoods sum to 1, samples come in the right order."""

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, is_tensor, kind, require_levels, require_tensor
from autograder.checking.probes import cyclic_ordering, influence, randomize, randomize_best, reload, slopes, union
from autograder.checking.statistics import (
    all_configurations,
    chain_log_prob,
    encode,
    frequencies_match,
    fresh_seed,
    weakest_link,
)

NO_EDGE_OUT = "a dimension depends on itself or on one that comes later in the ordering (ordering[d] is the rank of d)"
NO_EDGE_LOST = "a dimension does not depend on some dimension of lower rank: check the degrees and both comparisons"


def allowed(ordering: list[int]) -> Tensor:
    """(D, D) bool: dimension d may depend on dimension j when j has lower rank."""
    rank = torch.tensor(ordering)
    return rank[None, :] < rank[:, None]


def orderings(num_dims: int, rng: torch.Generator) -> list[list[int] | None]:
    """The default, a reversal, and permutations that differ from their inverse."""
    cycles = [cyclic_ordering(num_dims, rng) for _ in range(2)]
    return [None, list(range(num_dims))[::-1], *cycles]


def products(student, num_dims: int, hidden_sizes: list[int], num_levels: int, ordering: list[int] | None) -> Tensor:
    """Which input each block of outputs reaches through the masks: (D, K, D) bool. Checks shapes and values."""
    masks = student.made_masks(num_dims, hidden_sizes, num_levels, ordering)
    assert type(masks) in (list, tuple), "made_masks must return a list of masks"
    sizes = [num_dims, *hidden_sizes, num_dims * num_levels]
    assert len(masks) == len(sizes) - 1, "there is one mask more than hidden layers"
    paths = torch.eye(num_dims, dtype=torch.float64)
    for mask, before, after in zip(masks, sizes, sizes[1:]):
        assert is_tensor(mask, (after, before)), "a mask has the wrong shape: it is (units after, units before)"
        assert kind(mask) == "bool" or ((mask == 0) | (mask == 1)).all(), "a mask holds something other than 0 and 1"
        paths = mask.double() @ paths
    return (paths > 0).reshape(num_dims, num_levels, num_dims)


@weight(3)
@pytest.mark.parametrize("num_dims, hidden_sizes, num_levels", [(5, [7, 11], 3), (7, [6], 2), (4, [5, 3, 13], 5)])
def test_masks_connect_what_they_may(student, rng, num_dims, hidden_sizes, num_levels):
    """The masks let every dimension see all dimensions of lower rank, and no other."""
    for ordering in orderings(num_dims, rng):
        seen = products(student, num_dims, hidden_sizes, num_levels, ordering)
        may = allowed(ordering or list(range(num_dims)))[:, None, :].expand_as(seen)
        assert not (seen & ~may).any(), NO_EDGE_OUT
        assert not (may & ~seen).any(), NO_EDGE_LOST


@weight(1)
def test_narrow_masks_never_leak(student, rng):
    """With fewer hidden units than dimensions some dependencies go, but nothing leaks."""
    for hidden_sizes in ([2], [9, 3]):
        for ordering in orderings(6, rng):
            seen = products(student, 6, hidden_sizes, 3, ordering)
            may = allowed(ordering or list(range(6)))[:, None, :].expand_as(seen)
            assert not (seen & ~may).any(), NO_EDGE_OUT
            assert seen.any(), "no output sees any input"


def logits_influence(made, num_dims: int, num_levels: int, rng: torch.Generator) -> Tensor:
    """(D, D) bool: which dimension's level moves which dimension's logits."""
    def call(x: Tensor) -> Tensor:
        return require_tensor(made.logits(x), (len(x), num_dims, num_levels), "float", "logits(x)")

    return influence(call, (num_dims,), rng, levels=num_levels, bases=6).any(1)


def require_exact(student, made, num_levels: int, ordering: list[int], rng: torch.Generator) -> None:
    """Fail unless, under random weights, the dependencies are those that the ordering allows."""
    def probe() -> Tensor:
        randomize(student, made, rng)
        return logits_influence(made, len(ordering), num_levels, rng)

    may = allowed(ordering)
    seen = union(probe, may)
    assert not (seen & ~may).any(), NO_EDGE_OUT
    assert not (may & ~seen).any(), NO_EDGE_LOST


@weight(4)
@pytest.mark.parametrize("case", ["default", "reversed", "cycle", "three layers"])
def test_dependencies_are_exact(student, rng, case):
    """The logits of a dimension depend on every dimension of lower rank, and on nothing else."""
    num_dims, num_levels, hidden_sizes = (4, 5, [64, 48, 56]) if case == "three layers" else (5, 3, [64, 48])
    given = {"default": None, "reversed": list(range(num_dims))[::-1]}.get(case, cyclic_ordering(num_dims, rng))
    made = student.MADE(num_dims, num_levels, hidden_sizes, given).eval()
    require_exact(student, made, num_levels, given or list(range(num_dims)), rng)


@weight(2)
def test_holds_after_training_steps(student, rng):
    """The dependencies still hold after an optimiser with momentum and weight decay has changed the weights."""
    ordering = cyclic_ordering(5, rng)
    made = student.MADE(5, 3, [64, 48], ordering).eval()
    randomize(student, made, rng)
    x = torch.randint(3, (16, 5), generator=rng)
    before = made.log_prob(x)
    settings = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1}
    student.optimizer_steps(made, made.log_prob, x, cotangent=-torch.ones(16), settings=settings)
    assert not close(made.log_prob(x), before), "training steps on log_prob change nothing"
    numerical, reported, norm = slopes(student, made, made.log_prob, x, rng=rng)
    assert norm > 0, "the gradient of log_prob does not reach the weights"
    assert abs(numerical - reported) < 0.05 * norm, "the gradient of log_prob is not its slope: is a weight detached?"
    seen = logits_influence(made, 5, 3, rng)
    assert not (seen & ~allowed(ordering)).any(), "after a few training steps " + NO_EDGE_OUT
    require_exact(student, made, 3, ordering, rng)


@weight(1)
def test_survives_saving(student, rng):
    """A fresh model that loads the saved weights is the same model."""
    arguments = (5, 3, [16, 12], cyclic_ordering(5, rng))
    made, fresh = student.MADE(*arguments).eval(), student.MADE(*arguments).eval()
    randomize(student, made, rng)
    x = torch.randint(3, (13, 5), generator=rng)
    expected = require_tensor(made.logits(x), (13, 5, 3), "float", "logits(x)")
    assert expected.std() > 1e-3, "the logits are the same for all inputs, dimensions and levels"
    found = reload(student, made, fresh).logits(x)
    assert close(found, expected), "logits change when the weights are loaded into a fresh model: are masks lost?"


def joint(made, num_dims: int, num_levels: int) -> tuple[Tensor, Tensor]:
    """All configurations and their log-probabilities by the chain rule from the model's own logits."""
    x = all_configurations(num_dims, num_levels)
    logits = require_tensor(made.logits(x), (*x.shape, num_levels), "float", "logits(x)")
    log_p = chain_log_prob(logits, x)
    assert log_p.std() > 1e-3, "every configuration has the same probability, whatever the weights"
    return x, log_p


@weight(2)
@pytest.mark.parametrize("num_dims, num_levels", [(3, 3), (4, 2), (2, 5)])
def test_log_prob_sums_to_one(student, rng, num_dims, num_levels):
    """log_prob is the sum of the conditional log-probabilities, and the probabilities of all vectors sum to 1."""
    ordering = cyclic_ordering(num_dims, rng)
    made = student.MADE(num_dims, num_levels, [17, 13], ordering).eval()
    randomize(student, made, rng)
    x, log_p = joint(made, num_dims, num_levels)
    found = require_tensor(made.log_prob(x), (len(x),), "float", "log_prob(x)")
    assert abs(found.double().exp().sum() - 1) < 1e-3, "the probabilities of all possible vectors do not sum to 1"
    assert close(found.double(), log_p), "log_prob is not the sum over dimensions of log softmax(logits) at x, in nats"


@weight(1)
def test_batches(student, rng):
    """Every row of a batch is treated by itself, also when batch, dimensions and levels have one size."""
    made = student.MADE(4, 4, [12], cyclic_ordering(4, rng)).eval()
    randomize(student, made, rng)
    x = torch.randint(4, (4, 4), generator=rng)
    found = require_tensor(made.log_prob(x), (4,), "float", "log_prob(x)")
    rows = torch.cat([require_tensor(made.log_prob(row[None]), (1,), "float", "log_prob of one row") for row in x])
    assert rows.std() > 1e-3, "log_prob is the same for all inputs"
    assert close(found, rows), "a row's log_prob depends on the batch around it"
    assert close(found.double(), chain_log_prob(made.logits(x), x)), "log_prob does not fit the logits in a square batch"


@weight(4)
@pytest.mark.parametrize("num_dims, num_levels", [(3, 3), (4, 3)])
def test_sampler_matches_log_prob(student, rng, num_dims, num_levels):
    """Samples of a model with a permuted ordering occur as often as its conditionals say."""
    ordering, n = cyclic_ordering(num_dims, rng), 1511
    made = student.MADE(num_dims, num_levels, [24, 24], ordering).eval()
    configurations = all_configurations(num_dims, num_levels)

    def coupling() -> float:
        logits = require_tensor(made.logits(configurations), (*configurations.shape, num_levels), "float", "logits(x)")
        return weakest_link(logits.transpose(1, 2), configurations, num_levels)

    randomize_best(student, made, coupling, rng, enough=0.12)
    _, log_p = joint(made, num_dims, num_levels)

    def draw(seed: int) -> Tensor:
        found = made.sample(n, generator=student.generator(seed))
        return encode(require_levels(found, (n, num_dims), num_levels, "sample(n)"), num_levels)

    assert frequencies_match(draw, log_p.exp(), rng), (
        "vectors are not drawn as often as the model says: which dimension comes first when ordering[d] is the rank of d?"
    )


@weight(1)
def test_generator_decides(student, rng):
    """The generator that is passed decides the draw."""
    made = student.MADE(3, 8, [16]).eval()
    randomize(student, made, rng)
    logits = made.logits(torch.randint(8, (5, 3), generator=rng))
    assert require_tensor(logits, (5, 3, 8), "float", "logits(x)").std() > 1e-3, "the logits do not depend on the weights"
    seed, generator = fresh_seed(rng), student.generator(fresh_seed(rng))
    first, again = (made.sample(61, generator=student.generator(seed)) for _ in range(2))
    others = [made.sample(61, generator=generator) for _ in range(2)]
    for found in (first, again, *others):
        require_levels(found, (61, 3), 8, "sample(n)")
    assert torch.equal(first, again), "two generators with the same seed give different draws"
    assert not torch.equal(first, others[0]), "generators with different seeds give the same draws"
    assert not torch.equal(*others), "a second draw from one generator repeats the first"
    require_levels(made.sample(1), (1, 3), 8, "sample(n) without a generator")


@weight(1)
@pytest.mark.parametrize("ordering", [[0, 1, 1, 3], [1, 2, 3, 4], [0, 1, 2], [0, 1, 2, 3, 4], [0, -1, 2, 3]], ids=str)
def test_rejects_bad_orderings(student, ordering):
    """An ordering that is no permutation of 0..num_dims-1 is refused with a ValueError."""
    logits = student.MADE(4, 3, [8], [1, 2, 3, 0]).logits(torch.zeros(1, 4, dtype=torch.int64))
    require_tensor(logits, (1, 4, 3), "float", "logits(x)")
    assert student.refuses(ValueError, student.MADE, 4, 3, [8], ordering), (
        "an ordering with a repeated, missing or out-of-range rank must raise ValueError"
    )
