"""Probes: the relation that they report is the one that holds, no more and no less."""

import pytest
import torch

from autograder.checking.probes import (
    cyclic_ordering,
    dependencies,
    influence,
    perturbed,
    random_parameter,
    randomize,
    randomize_best,
    raster_before,
    reload,
    slopes,
    union,
)
from autograder.jail.inprocess import InProcessBackend
from autograder.session import Session, Student

CELL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, detached=False):
        super().__init__()
        self.detached = detached
        self.one, self.two = nn.Linear(3, 16), nn.Linear(16, 1)
        self.register_buffer("offset", torch.zeros(1))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)

    def forward(self, x):
        weight = self.one.weight.detach() if self.detached else self.one.weight
        return self.two(torch.tanh(x @ weight.T + self.one.bias))[:, 0] + self.offset
"""


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(11)


@pytest.fixture
def student():
    return Student(Session(InProcessBackend(), [("net", CELL)], {}))


def sparse_map(shape, output_shape, rng):
    """A random linear map with known zeros: the relation (*output_shape, *shape) and the function."""
    size, outputs = torch.Size(shape).numel(), torch.Size(output_shape).numel()
    relation = torch.rand(outputs, size, generator=rng) < 0.4
    weights = torch.randn(outputs, size, generator=rng, dtype=torch.float64) * relation

    def call(x):
        return (x.flatten(1).double() @ weights.T).reshape(-1, *output_shape)

    return relation.reshape(*output_shape, *shape), call


@pytest.mark.parametrize("levels", [None, 2, 5])
@pytest.mark.parametrize("shape, output_shape", [((7,), (4,)), ((2, 3, 5), (3, 2)), ((1,), (1,))])
def test_influence_is_the_relation(rng, levels, shape, output_shape):
    relation, call = sparse_map(shape, output_shape, rng)
    assert torch.equal(influence(call, shape, rng, levels=levels, bases=2), relation)
    first = (0,) * len(output_shape)
    assert torch.equal(dependencies(call, shape, first, rng, levels=levels), relation[first])


def test_a_faint_leak_is_seen_and_rounding_is_not(rng):
    faint = influence(lambda x: x.cumsum(1) + 1e-7 * x.sum(1, keepdim=True), (6,), rng)
    assert faint.all()
    noise = influence(lambda x: x + 1e-13 * x.sum(1, keepdim=True), (6,), rng)
    assert torch.equal(noise, torch.eye(6, dtype=torch.bool))
    single = influence(lambda x: x.float() + (x.float() * 1e3).sum(1, keepdim=True) * 1e-11, (6,), rng, dtype=torch.float32)
    assert torch.equal(single, torch.eye(6, dtype=torch.bool))


def test_any_base_may_show_an_edge(rng):
    def gated(x):  # the second input counts only where the first is positive
        return x[:, :1] + torch.where(x[:, :1] > 0, x[:, 1:], 0 * x[:, 1:])

    assert influence(gated, (2,), rng, bases=20).all()


@pytest.mark.parametrize(
    "call, word",
    [(lambda x: x[:-1], "batch"), (lambda x: x * float("nan"), "NaN"), (lambda x: x.long(), "floats"),
     (lambda x: None, "tensor"), (lambda x: x.sum(), "batch"), (lambda x: x / 0, "infinity")],
)  # fmt: skip
def test_outputs_that_are_no_batch_of_numbers_fail_with_a_sentence(rng, call, word):
    with pytest.raises(AssertionError, match=word):
        influence(call, (3,), rng)


@pytest.mark.parametrize("levels", [None, 2, 7])
def test_each_perturbation_moves_one_entry(rng, levels):
    x = perturbed(5, rng, levels, 3, torch.float64)
    assert x.shape == (3, 6, 5)
    assert torch.equal(x[:, 1:] != x[:, :1], torch.eye(5, dtype=torch.bool).expand(3, 5, 5))
    assert levels is None or (x.dtype == torch.int64 and x.min() >= 0 and x.max() < levels)


def test_union_collects_until_all_is_seen():
    parts = [torch.tensor(row, dtype=torch.bool) for row in ([1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1])]
    left = list(parts)
    assert union(lambda: left.pop(0), torch.tensor([True, True, False, False])).tolist() == [True, True, False, True]
    assert len(left) == 1
    calls = []
    never = union(lambda: calls.append(1) or parts[0], torch.ones(4, dtype=torch.bool), tries=5)
    assert never.tolist() == [True, False, False, False]
    assert len(calls) == 5


@pytest.mark.parametrize("size", [3, 4, 7])
def test_cyclic_orderings_are_one_cycle_and_not_their_inverse(rng, size):
    for _ in range(20):
        ordering = cyclic_ordering(size, rng)
        assert sorted(ordering) == list(range(size))
        seen, at = set(), 0
        while at not in seen:
            seen.add(at)
            at = ordering[at]
        assert len(seen) == size
        assert torch.tensor(ordering).argsort().tolist() != ordering


def test_raster_order_counts_rows_first():
    before = raster_before(3, 4)
    assert before.shape == (3, 4, 3, 4)
    assert before[1, 2, 0, 3]
    assert before[1, 2, 1, 1]
    assert not before[1, 2, 1, 2]
    assert not before[1, 2, 2, 0]
    assert before.sum() == 12 * 11 / 2


def test_random_parameters_have_the_size_that_is_stated(rng):
    kernel = random_parameter(torch.zeros(300, 8, 3, 3), rng, 1.5)
    assert kernel.std().item() == pytest.approx(1.5 * (2 / 72) ** 0.5, rel=0.05)
    vector = random_parameter(torch.zeros(9000, dtype=torch.float64), rng, 1.5)
    assert vector.std().item() == pytest.approx(0.75, rel=0.05)
    assert vector.dtype == torch.float64


def test_randomize_sets_every_trainable_parameter(student, rng):
    net = student.Net()
    before = student.state_dict(net)
    set_to = randomize(student, net, rng)
    after = student.state_dict(net)
    assert set(set_to) == {"one.weight", "one.bias", "two.weight", "two.bias"}
    assert all(torch.equal(after[name], value) for name, value in set_to.items())
    assert all(torch.equal(after[name], before[name]) for name in ("offset", "frozen"))


def test_reload_copies_buffers_and_parameters(student, rng):
    net, fresh = student.Net(), student.Net()
    randomize(student, net, rng)
    x = torch.randn(4, 3, generator=rng)
    assert not torch.equal(net(x), fresh(x))
    assert torch.equal(net(x), reload(student, net, fresh)(x))


def test_randomize_best_keeps_the_best_and_stops_when_it_is_enough(student, rng):
    net, scores = student.Net(), [0.1, 0.7, 0.3]
    kept = []

    def score():
        kept.append(student.parameters(net)["one.weight"])
        return scores[len(kept) - 1]

    randomize_best(student, net, score, rng, enough=2.0, scales=(1.0, 1.0, 1.0))
    assert torch.equal(student.parameters(net)["one.weight"], kept[1])
    kept.clear()
    randomize_best(student, net, score, rng, enough=0.5, scales=(1.0, 1.0, 1.0))
    assert len(kept) == 2


def test_slopes_agree_for_a_right_gradient_and_show_a_detached_weight(student, rng):
    x = torch.randn(9, 3, generator=rng)
    for detached in (False, True):
        net = student.Net(detached)
        before = randomize(student, net, rng)
        numerical, reported, norm = slopes(student, net, net.forward, x, rng=rng)
        assert (abs(numerical - reported) < 0.05 * norm) is not detached
        assert all(torch.equal(p, before[name]) for name, p in student.parameters(net).items())
