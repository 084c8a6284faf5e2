"""Discretised logistic mixture: bins tile the line, components mix, the sampler draws what log_prob says.

A student chooses the parametrisation, so no check reads a parameter's meaning: parameters are set at random, permuted,
repeated, or cut to one component.
"""

from itertools import product

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_levels, require_tensor
from autograder.checking.statistics import frequencies_match, fresh_seed


class Model:
    """A student's mixture with its parameters in our hands. `table(parameters)` is P of every level, (num_levels,)."""

    def __init__(self, student, num_components: int, num_levels: int):
        self.student, self.num_components, self.num_levels = student, num_components, num_levels
        self.remote = student.DiscretizedLogisticMixture(num_components, num_levels)
        self.fresh = student.parameters(self.remote)
        shapes = [tuple(p.shape) for p in self.fresh.values()]
        assert shapes == [(num_components,)] * 3, (
            "the model must have exactly three learnable parameters, each of shape (num_components,)"
        )

    def draw(self, rng: torch.Generator, scale: float = 1.0) -> dict[str, Tensor]:
        """Random parameters on a shuffled grid with jitter, so that no two components are alike."""
        n = self.num_components
        grid = torch.linspace(-1.5, 1.5, n) if n > 1 else torch.zeros(1)
        jitter = 0.3 * torch.randn(3, n, generator=rng)
        return {name: scale * (grid[torch.randperm(n, generator=rng)] + jitter[i]) for i, name in enumerate(self.fresh)}

    def table(self, parameters: dict[str, Tensor]) -> Tensor:
        self.student.set_parameters(self.remote, parameters)
        found = self.remote.log_prob(torch.arange(self.num_levels))
        return require_tensor(found, (self.num_levels,), "float", "log_prob of a batch of levels").double().exp()


def require_alive(tables: list[Tensor]) -> None:
    """Fail for a model that gives every level the same probability: such a one gains no point anywhere."""
    assert max(float(p.max() - p.min()) for p in tables) > 1e-4, "every level has the same probability, always"


@weight(3)
@pytest.mark.parametrize("num_levels, num_components", [(2, 3), (7, 5), (16, 16), (256, 1)])
def test_sums_to_one(student, rng, num_levels, num_components):
    """The probabilities of all levels sum to 1, for narrow and wide components, at the edges and far outside."""
    model = Model(student, num_components, num_levels)
    tables = [model.table(model.draw(rng, scale)) for scale in (0.5, 1.0, 2.0, 8.0)]
    require_alive(tables)
    totals = torch.stack([p.sum() for p in tables])
    assert close(totals, torch.ones_like(totals), 0, 1e-3), (
        "the probabilities of all levels do not sum to 1: neighbouring bins must meet, the outer ones take the tails"
    )


@weight(2)
def test_one_component_is_logistic(student, rng):
    """One component alone is a logistic distribution cut into equal bins."""
    model = Model(student, 1, 9)
    tried = 0
    for _ in range(3):
        p = model.table(model.draw(rng, 1.5))
        below, above = p.cumsum(0)[:-1], p.flip(0).cumsum(0).flip(0)[1:]
        keep = (below > 1e-3) & (above > 1e-3)
        if keep.sum() < 4:
            continue  # nearly all mass in one bin: the shape can't be seen
        tried += 1
        steps = (below / above).log()[keep].diff()  # the logit of a logistic CDF is a straight line in the edge
        assert steps.diff().abs().max() < 0.05 * steps.abs().max(), (
            "the CDF at the edges of the bins is no sigmoid: where does each bin begin and end?"
        )
    assert tried, "one level has all the probability, whatever the parameters"


@weight(2)
def test_mixes_probabilities(student, rng):
    """The mixture's probability is a weighted mean of the components' probabilities, and all parameters matter."""
    model, single = Model(student, 3, 12), Model(student, 1, 12)
    for _ in range(2):
        parameters = model.draw(rng)
        mixed = model.table(parameters)
        parts = [single.table({name: p[i : i + 1] for name, p in parameters.items()}) for i in range(3)]
        basis = torch.stack(parts, 1)                                                     # (levels, components)
        shares = torch.linalg.lstsq(basis, mixed[:, None]).solution
        require_alive([mixed, *parts])
        assert ((basis @ shares)[:, 0] - mixed).abs().max() < 2e-3, (
            "the mixture is no weighted mean of what its components give alone: probabilities add, their logs do not"
        )
        assert shares.min() > -0.05, "a component has a negative weight"
    for name, p in parameters.items():
        changed = model.table({**parameters, name: p.flip(0) + torch.tensor([0.0, 0.5, -0.5])})
        assert (changed - mixed).abs().max() > 1e-4, "one of the three parameters has no effect on a mixture"


@weight(1)
def test_components_are_exchangeable(student, rng):
    """The order of the components does not matter, and equal components act as one."""
    model, single = Model(student, 5, 11), Model(student, 1, 11)
    parameters, one = model.draw(rng), single.draw(rng)
    order = torch.tensor([2, 4, 1, 0, 3])
    mixed, alone = model.table(parameters), single.table(one)
    require_alive([mixed, alone])
    shuffled = model.table({name: p[order] for name, p in parameters.items()})
    assert close(shuffled, mixed, 1e-3, 1e-5), "the same components in another order give other probabilities"
    equal = model.table({name: p.repeat(5) for name, p in one.items()})
    assert close(equal, alone, 1e-3, 1e-5), "equal components do not act as one: are the mixture weights normalised?"


@weight(2)
def test_finite_in_the_tail(student, rng):
    """Values and gradients stay finite however far a level lies from every component."""
    model = Model(student, 2, 32)
    x, tables = torch.arange(32), []
    for signs in product((-6, 6), repeat=3):  # whatever the parameters mean, narrow and far away is among them
        near = {name: sign + 0.5 * torch.randn(2, generator=rng) for name, sign in zip(model.fresh, signs, strict=True)}
        tables.append(model.table(near))
        gradients = student.parameter_gradient(model.remote, model.remote.log_prob, x)
        assert all(torch.isfinite(g).all() for g in gradients.values()), (
            "a gradient is NaN or infinite: torch.where passes on the NaN of the branch it does not take"
        )
    require_alive(tables)


@weight(2)
def test_gradients(student, rng):
    """The gradient of log_prob is right for all three parameters, and a fresh mixture's components differ."""
    model = Model(student, 3, 8)
    fresh = torch.stack(list(model.fresh.values()))                                       # (3 kinds, components)
    assert (fresh[:, None, :] - fresh[:, :, None]).abs().amax(0).add(torch.eye(3)).min() > 1e-6, (
        "two components of a fresh model are equal: training moves them together for ever"
    )
    step, x = 0.02, torch.arange(8)
    slopes = []
    for _ in range(2):
        center = model.draw(rng, 0.7)
        common = model.table(center) > 1e-2
        cotangent = torch.randn(8, generator=rng) * common
        gradients = student.parameter_gradient(model.remote, model.remote.log_prob, x, cotangent=cotangent)
        for name, value in center.items():
            direction = torch.tensor([1.0, -1.0, 1.0])[torch.randperm(3, generator=rng)]
            ahead, behind = (model.table({**center, name: value + s * step * direction}).log() for s in (1, -1))
            slope = ((ahead - behind)[common] * cotangent[common]).sum() / (2 * step)
            slopes.append((slope, (gradients[name].double() * direction).sum()))
    numerical, returned = torch.tensor(slopes).T
    assert numerical.abs().max() > 1e-2, "the parameters change nothing"
    assert torch.allclose(numerical, returned, rtol=0.03, atol=0.01), (
        "the gradient is not the slope of log_prob: is a parameter detached, or its path cut by a clamp?"
    )


@weight(3)
@pytest.mark.parametrize("case", range(3))
def test_sampler_matches_log_prob(student, rng, case):
    """Samples occur as often as log_prob says, the first and last level too."""
    num_components, num_levels, n = [(1, 4, 8009), (4, 5, 8009), (3, 11, 8009)][case]
    model = Model(student, num_components, num_levels)
    table = model.table(model.draw(rng, 0.8))
    require_alive([table])

    def draw(seed: int) -> Tensor:
        found = model.remote.sample(n, generator=student.generator(seed))
        return require_levels(found, (n,), num_levels, "sample(n)")

    assert frequencies_match(draw, table.clamp(min=1e-9), rng), (
        "levels are not drawn as often as log_prob says: follow a draw from the component to the level"
    )


@weight(1)
def test_generator_decides(student, rng):
    """The generator that is passed decides the draw, from the component to the value."""
    model = Model(student, 4, 64)
    require_alive([model.table(model.draw(rng))])
    seed, generator = fresh_seed(rng), student.generator(fresh_seed(rng))
    first, again = (model.remote.sample(301, generator=student.generator(seed)) for _ in range(2))
    others = [model.remote.sample(301, generator=generator) for _ in range(2)]
    for found in (first, again, *others):
        require_levels(found, (301,), 64, "sample(n)")
    assert torch.equal(first, again), "two generators with the same seed give different draws"
    assert not torch.equal(first, others[0]), "generators with different seeds give the same draws"
    assert not torch.equal(*others), "a second draw from one generator repeats the first"
    require_levels(model.remote.sample(7), (7,), 64, "sample(n) without a generator")


@weight(1)
def test_batches(student, rng):
    """log_prob treats every entry of a batch by itself, whatever the size of the batch."""
    model = Model(student, 3, 5)
    table = model.table(model.draw(rng, 0.8))
    require_alive([table])
    for size in (1, 3, 23):
        x = torch.randint(5, (size,), generator=rng)
        found = require_tensor(model.remote.log_prob(x), (size,), "float", "log_prob of a batch of levels")
        assert close(found.double(), table[x].log()), "a level's log_prob depends on the batch around it"
