"""Seeding: a generator is its seed, and stands alone."""

import random

import numpy as np
import pytest
import torch

from common.seeding import generator, seed_everything


def test_the_same_seed_draws_the_same_numbers():
    assert torch.equal(torch.rand(5, generator=generator(3)), torch.rand(5, generator=generator(3)))


def test_other_seeds_draw_other_numbers():
    assert not torch.equal(torch.rand(5, generator=generator(3)), torch.rand(5, generator=generator(4)))


def test_a_generator_neither_reads_nor_moves_the_global_state():
    before = torch.get_rng_state()
    first = torch.rand(5, generator=generator(3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(torch.rand(5, generator=generator(3)), first)


def test_seed_everything_repeats_all_three_sources():
    def draw():
        seed_everything(11)
        return random.random(), np.random.rand(), float(torch.rand(()))

    first = draw()
    random.random(), np.random.rand(), torch.rand(3)
    assert draw() == first


@pytest.mark.parametrize("call", [lambda: generator(-1), lambda: seed_everything(-1), lambda: seed_everything(2**32)])
def test_seeds_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="expected 0"):
        call()
