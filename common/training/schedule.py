"""What happens at a step, as pure functions of its number: the learning rate, the batch, the random seed.

Because nothing depends on earlier steps, a run that is resumed sees exactly what it would have seen.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

SCHEDULES = ("cosine", "constant")
PRIME = 1_000_003


def learning_rate_at(step: int, steps: int, peak: float, warmup: int = 0, schedule: str = "cosine") -> float:
    """Learning rate of step 0..steps-1: a linear rise over `warmup` steps, then constant or half a cosine towards 0.

    Cosine: peak * (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2 (Loshchilov and Hutter 2017,
    arXiv:1608.03983, equation 5 without restarts). Raises ValueError for an unknown schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}; choose one of {', '.join(SCHEDULES)}")
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def batch_at(step: int, num_examples: int, batch_size: int, seed: int) -> Tensor:
    """Indices (batch_size,) of the examples of a step.

    Every epoch is a fresh permutation, and batches are cut from the endless row of permutations: each example is seen
    equally often, and no example is dropped because batch_size does not divide num_examples.
    """
    first = step * batch_size
    epoch, start = divmod(first, num_examples)
    parts, wanted = [], batch_size
    while wanted:
        parts.append(_permutation(num_examples, epoch, seed)[start:start + wanted])
        wanted -= len(parts[-1])
        epoch, start = epoch + 1, 0
    return torch.cat(parts)


def seed_at(step: int, seed: int) -> int:
    """A seed for random numbers drawn inside step `step` (noise, dropout); different for every step."""
    return (seed * PRIME + step + 1) % 2**63


@lru_cache(maxsize=2)
def _permutation(num_examples: int, epoch: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed((seed * PRIME + epoch) % 2**63)
    return torch.randperm(num_examples, generator=generator)
