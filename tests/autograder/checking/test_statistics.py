"""Tests of randomness: false alarms are as rare as promised, wrong samplers are caught."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.checking import statistics
from autograder.checking.statistics import (
    all_configurations,
    chain_log_prob,
    chi_square,
    encode,
    frequencies_match,
    fresh_seed,
    mean_matches,
    two_stage,
    weakest_link,
)

SKEWED = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.015, 0.004, 0.001])


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(7)


def sampler(probabilities, n):
    """A right sampler: outcomes by seed."""
    return lambda seed: torch.multinomial(probabilities, n, True, generator=torch.Generator().manual_seed(seed))


def within_binomial(count, trials, probability):
    """Whether a count is within 4.5 standard deviations of its mean."""
    return abs(count - trials * probability) < 4.5 * math.sqrt(trials * probability * (1 - probability))


def test_two_stages_square_the_false_alarm_rate(rng):
    uniform = torch.rand(40_000, generator=rng).tolist()
    alarms = sum(not two_stage(lambda _: uniform.pop(), rng, level=0.1) for _ in range(15_000))
    assert within_binomial(alarms, 15_000, 0.1**2)


def test_two_stages_use_new_seeds_and_stop_at_the_first_success(rng):
    seeds = []
    assert not two_stage(lambda seed: seeds.append(seed) or 0.0, rng)
    assert len(set(seeds)) == 2
    seeds.clear()
    assert two_stage(lambda seed: seeds.append(seed) or 0.5, rng)
    assert len(seeds) == 1


def test_not_a_number_is_a_failure(rng):
    assert not two_stage(lambda _: math.nan, rng)


@pytest.mark.parametrize("n", [60, 400, 5000])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_p_values_of_a_right_sampler_are_rarely_small(n, level):
    trials = 3000
    counts = np.random.default_rng(3).multinomial(n, (SKEWED / SKEWED.sum()).double().numpy(), size=trials)
    outcomes = (torch.from_numpy(np.repeat(np.arange(9), row)) for row in counts)
    alarms = sum(chi_square(x, SKEWED) < level for x in outcomes)
    assert alarms < trials * level * 1.6 + 4.5 * math.sqrt(trials * level)


def test_the_whole_rule_keeps_its_rate(rng):
    alarms = sum(not frequencies_match(sampler(SKEWED, 300), SKEWED, rng, level=0.1) for _ in range(1200))
    assert alarms < 1200 * 0.1**2 + 4.5 * math.sqrt(1200 * 0.1**2)


@pytest.mark.parametrize("wrong", [SKEWED.flip(0), torch.ones(9), SKEWED**1.3, SKEWED.roll(1)])
def test_a_wrong_sampler_is_caught(rng, wrong):
    assert not frequencies_match(sampler(wrong, 4000), SKEWED, rng)


def test_an_impossible_outcome_is_a_failure():
    assert chi_square(torch.tensor([0, 1, 2]), torch.tensor([0.5, 0.5, 0.0])) == 0.0
    assert chi_square(torch.tensor([0, 1] * 50), torch.tensor([0.5, 0.5, 0.0])) > 0.01


def test_one_possible_outcome_tells_nothing():
    assert chi_square(torch.zeros(50, dtype=torch.int64), torch.tensor([1.0])) == 1.0


def test_draws_out_of_range_or_none_fail_with_a_sentence():
    for outcomes in (torch.tensor([0, 9]), torch.tensor([-1]), torch.empty(0, dtype=torch.int64)):
        with pytest.raises(AssertionError, match="draw"):
            chi_square(outcomes, SKEWED)


@pytest.mark.parametrize("probabilities", [[0.5, -0.1], [math.nan, 1.0], [0.0, 0.0], [math.inf, 1.0]])
def test_bad_probabilities_are_the_checks_own_mistake(probabilities):
    with pytest.raises(ValueError, match="probabilities"):
        chi_square(torch.tensor([0]), torch.tensor(probabilities))


@given(st.lists(st.floats(0.01, 200), min_size=1, max_size=30))
@settings(deadline=None)
def test_pooling_keeps_the_mass_and_leaves_enough_in_each_cell(expected):
    expected = np.array(expected)
    counts = np.arange(len(expected))
    pooled, pooled_counts = statistics._pooled(expected, counts)
    assert pooled.sum() == pytest.approx(expected.sum())
    assert pooled_counts.sum() == counts.sum()
    assert len(pooled) == 1 or pooled.min() >= statistics.FEWEST_EXPECTED * (1 - 1e-9)


def test_cells_with_enough_draws_are_not_pooled():
    pooled, counts = statistics._pooled(np.array([30.0, 11.0, 20.0]), np.array([1, 2, 3]))
    assert pooled.tolist() == [11.0, 20.0, 30.0]
    assert counts.tolist() == [2, 3, 1]


def test_mean_of_a_right_sampler_fits_and_a_shifted_one_does_not(rng):
    def draw(shift):
        return lambda seed: torch.randn(1000, generator=torch.Generator().manual_seed(seed)) * 2 + 5 + shift

    assert mean_matches(draw(0.0), 5.0, 2.0, rng)
    assert not mean_matches(draw(0.6), 5.0, 2.0, rng)
    assert not mean_matches(draw(-0.6), 5.0, 2.0, rng)
    assert not mean_matches(lambda _: torch.full((10,), math.nan), 5.0, 2.0, rng)


def test_seeds_differ_and_come_from_the_generator(rng):
    seeds = [fresh_seed(rng) for _ in range(50)]
    assert len(set(seeds)) == 50
    assert fresh_seed(torch.Generator().manual_seed(7)) == seeds[0]


@pytest.mark.parametrize("num_dims, num_levels", [(1, 5), (3, 2), (4, 3)])
def test_configurations_are_all_and_numbered_in_order(num_dims, num_levels):
    x = all_configurations(num_dims, num_levels)
    assert x.shape == (num_levels**num_dims, num_dims)
    assert encode(x, num_levels).tolist() == list(range(len(x)))


def autoregressive_logits(x, strength):
    """(M, K, D) logits in which dimension d is pulled towards the level of dimension d-1."""
    previous = torch.cat([torch.zeros(len(x), 1, dtype=torch.int64), x[:, :-1]], 1)
    return strength * torch.nn.functional.one_hot(previous, 3).transpose(1, 2).double()


def test_the_chain_rule_sums_to_one_over_all_configurations():
    x = all_configurations(4, 3)
    logits = autoregressive_logits(x, 1.7) + torch.arange(3)[:, None]
    log_p = chain_log_prob(logits, x, axis=1)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    by_hand = sum(logits[5, :, d].log_softmax(0)[x[5, d]] for d in range(4))
    assert log_p[5].item() == pytest.approx(by_hand.item())
    assert torch.equal(chain_log_prob(logits.transpose(1, 2), x), log_p)


def test_the_chain_rule_takes_images():
    x = torch.randint(3, (7, 2, 4, 5))
    logits = torch.randn(7, 3, 2, 4, 5)
    expected = -torch.nn.functional.cross_entropy(logits.double(), x, reduction="none").flatten(1).sum(1)
    assert torch.allclose(chain_log_prob(logits, x, axis=1), expected)


def test_the_weakest_link_is_zero_without_coupling_and_grows_with_it():
    x = all_configurations(2, 3)
    links = [weakest_link(autoregressive_logits(x, strength), x, 3) for strength in (0.0, 0.5, 2.0)]
    assert links[0] == 0
    assert links[0] < links[1] < links[2] < 1
    apart = all_configurations(3, 3)                                       # dimensions 0 and 2 are coupled through 1 alone
    assert weakest_link(autoregressive_logits(apart, 2.0), apart, 3) == 0
