"""Randomness: one generator, passed down."""

import random

import numpy as np
import torch


def generator(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator on `device` that starts from `seed` (an integer >= 0, else ValueError). Pass it down."""
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    return torch.Generator(device).manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators. For notebooks only: layers draw their weights from them."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}, expected 0..2**32-1")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
