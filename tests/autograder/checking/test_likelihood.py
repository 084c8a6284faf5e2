"""The measured cost is the likelihood of a causal model, and a model that looks at what it predicts is found out."""

import math

import pytest
import torch

from autograder.checking.likelihood import Once, altered, entry_costs, steps

LEVELS, SIZE = 5, 12


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def x(rng):
    return torch.randint(LEVELS, (40, SIZE), generator=rng)


def markov(table):
    """A causal model: the logits of an entry are a row of `table` for the entry before it (level 0 before the first)."""

    def call(rows, index):
        return table[torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], 1)]

    return call


def measure(call, x, rng):
    return entry_costs(call, x, LEVELS, (SIZE, LEVELS), rng, copies=30)


def test_cost_is_the_negative_log_likelihood_of_each_entry(x, rng):
    table = torch.randn(LEVELS, LEVELS, generator=rng)
    before = torch.cat([torch.zeros(40, 1, dtype=torch.long), x[:, :-1]], 1)
    expected = -table.double().log_softmax(-1)[before, x]
    assert torch.allclose(measure(markov(table), x, rng), expected, atol=1e-6)


def test_uniform_logits_cost_log_of_the_levels(x, rng):
    costs = measure(lambda rows, _: torch.full((*rows.shape, LEVELS), 7.0), x, rng)
    assert torch.allclose(costs, torch.full_like(costs, math.log(LEVELS)))


def test_rows_are_called_with_their_own_index(x, rng):
    bias = torch.randn(40, 1, LEVELS, generator=rng)  # a condition of each row, such as its class
    costs = measure(lambda rows, index: bias[index].expand(-1, SIZE, -1), x, rng)
    expected = -bias.double().log_softmax(-1).expand(-1, SIZE, -1).gather(-1, x.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(costs, expected, atol=1e-6)


def peeks(rows):
    return 9.0 * torch.nn.functional.one_hot(rows, LEVELS)


@pytest.mark.parametrize(
    "shift",
    [lambda x: x, lambda x: x.roll(-1, 1), lambda x: x.flip(1), lambda x: x.sum(1, keepdim=True).expand_as(x) % LEVELS],
    ids=["itself", "the next", "the far end", "all"],
)
def test_a_model_that_sees_what_it_predicts_or_later_is_refused(x, rng, shift):
    with pytest.raises(AssertionError, match="no likelihood"):
        measure(lambda rows, _: peeks(shift(rows)), x, rng)


def test_peeking_at_familiar_rows_only_is_refused(x, rng):
    """Rows that nobody altered are peeked at: copies of them then disagree with their originals."""
    known = {tuple(row.tolist()) for row in x}

    def call(rows, _):
        familiar = torch.tensor([tuple(row.tolist()) in known for row in rows])
        return peeks(rows) * familiar[:, None, None]

    with pytest.raises(AssertionError, match="no likelihood"):
        measure(call, x, rng)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(x, rng, value):
    with pytest.raises(AssertionError, match="finite"):
        measure(lambda rows, _: torch.full((*rows.shape, LEVELS), value), x, rng)


def test_logits_of_another_shape_are_refused(x, rng):
    with pytest.raises(AssertionError, match="shape"):
        measure(lambda rows, _: torch.zeros(len(rows), LEVELS, SIZE), x, rng)


def test_altered_copies_agree_with_their_rows_before_the_place_and_differ_at_a_changed_entry(x, rng):
    copies, rows, places = altered(x, LEVELS, 60, rng)
    before = torch.arange(SIZE) < places[:, None]
    assert torch.equal(copies[before], x[rows][before])
    one_changed = (copies != x[rows])[::3]
    assert torch.equal(one_changed.int().argmax(1), places[::3])
    assert (one_changed.sum(1) == 1).all()
    assert ((copies >= 0) & (copies < LEVELS)).all()


def test_steps_pay_linearly_between_full_and_poor():
    bars = steps(0.4, 0.6, 8)
    for bits in (0.3, 0.4, 0.44, 0.5, 0.56, 0.6, 0.9):
        share = sum(bits <= bar for bar in bars) / 8
        linear = min(1.0, max(0.0, (0.6 - bits) / 0.2))
        assert abs(share - linear) <= 0.5 / 8 + 1e-9
    assert all(bars[i] < bars[i + 1] for i in range(7))


def test_once_measures_once_and_keeps_failures():
    calls = []

    def fail():
        calls.append(1)
        raise AssertionError("no")

    once = Once()
    for _ in range(2):
        with pytest.raises(AssertionError, match="no"):
            once(fail)
    assert len(calls) == 1
    once = Once()
    assert [once(lambda: calls.append(1) or len(calls)) for _ in range(2)] == [2, 2]
