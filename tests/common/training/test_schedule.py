"""What happens at a step is a function of its number: learning rate, batch, seed."""

from itertools import pairwise

import pytest
import torch

from common import training
from common.training.schedule import seed_at


def test_learning_rate_rises_then_falls_to_zero():
    rates = [training.learning_rate_at(i, 100, 0.3, warmup=20) for i in range(100)]
    assert max(rates) == rates[20] == 0.3
    assert rates[:20] == pytest.approx([0.3 * (i + 1) / 21 for i in range(20)])
    assert all(a > b > 0 for a, b in pairwise(rates[20:]))
    assert rates[60] == pytest.approx(0.15)
    assert rates[99] < 0.3 * 1e-3
    assert {training.learning_rate_at(i, 100, 0.3, schedule="constant") for i in range(100)} == {0.3}
    with pytest.raises(ValueError, match="schedule is 'linear'"):
        training.learning_rate_at(0, 100, 0.3, schedule="linear")


@pytest.mark.parametrize("num_examples, batch_size", [(12, 4), (10, 4), (7, 3), (5, 5), (3, 8), (1, 1)])
def test_batches_use_every_example_equally_often(num_examples, batch_size):
    batches = [training.batch_at(i, num_examples, batch_size, seed=0) for i in range(num_examples)]
    assert all(batch.shape == (batch_size,) for batch in batches)
    assert torch.cat(batches).bincount().tolist() == [batch_size] * num_examples


def test_every_epoch_and_seed_has_its_own_order():
    epochs = [tuple(training.batch_at(i, 50, 50, seed).tolist()) for seed in (0, 1, 2) for i in range(5)]
    assert len(set(epochs)) == 15
    assert len({seed_at(step, seed) for seed in range(20) for step in range(-1, 500)}) == 20 * 501
