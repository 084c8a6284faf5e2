"""Tests of randomness with a false-alarm rate that is known and tiny.

The two-stage rule: a sampler fails only when it is found wrong at level 1e-4 on two independent draws, so that a right
one is refused about once in 1e8 checks, while a wrong one, for which both p-values are far below the level, has no
second chance.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy import special
from torch import Tensor

LEVEL = 1e-4
"""Level of one stage; two independent stages make 1e-8."""

FEWEST_EXPECTED = 10.0
"""Cells of a chi-square test that expect fewer draws are pooled: below, the statistic is no longer chi-square."""


def fresh_seed(rng: torch.Generator) -> int:
    """Draw a seed for a generator in the jail from the secret generator of the check."""
    return int(torch.randint(2**31 - 1, (), generator=rng))


def two_stage(p_value: Callable[[int], float], rng: torch.Generator, level: float = LEVEL) -> bool:
    """True unless `p_value(seed)` is below `level` for two independent seeds drawn from `rng`. NaN counts as below."""
    return any(p_value(fresh_seed(rng)) >= level for _ in range(2))


def frequencies_match(
    draw: Callable[[int], Tensor], probabilities: Tensor, rng: torch.Generator, level: float = LEVEL
) -> bool:
    """True when outcomes occur as often as they should, by the two-stage rule.

    `draw(seed)` returns outcomes (n,) int64, each in 0..len(probabilities)-1. An outcome of probability zero that
    occurs is a failure by itself. Fails with a sentence for the student when outcomes are out of range.
    """
    return two_stage(lambda seed: chi_square(draw(seed), probabilities), rng, level)


def chi_square(outcomes: Tensor, probabilities: Tensor) -> float:
    """p-value of Pearson's chi-square test of outcomes (n,) against probabilities (m,); rare outcomes are pooled.

    0.0 when an impossible outcome occurs. 1.0 when nothing can be told (one cell is left). Probabilities are
    normalised first; NaN or negative ones raise ValueError.
    """
    expected = probabilities.double().cpu().numpy()
    if not np.isfinite(expected).all() or (expected < 0).any() or expected.sum() <= 0:
        raise ValueError("probabilities must be finite, not negative, and not all zero")
    expected = expected / expected.sum()
    assert outcomes.numel() > 0, "nothing was drawn"
    assert ((outcomes >= 0) & (outcomes < len(expected))).all(), "a draw is out of range"
    counts = np.bincount(outcomes.cpu().numpy(), minlength=len(expected))
    possible = expected > 0
    if counts[~possible].any():
        return 0.0
    expected, counts = _pooled(expected[possible] * counts.sum(), counts[possible])
    if len(expected) < 2:
        return 1.0
    return float(special.chdtrc(len(expected) - 1, ((counts - expected) ** 2 / expected).sum()))


def _pooled(expected: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge the rarest cells into one, just so many that it and every cell left expect enough draws."""
    order = np.argsort(expected)
    expected, counts = expected[order], counts[order]
    before = np.cumsum(expected) - expected
    fine = (expected >= FEWEST_EXPECTED) & ((before == 0) | (before >= FEWEST_EXPECTED))
    first = int(np.argmax(fine)) if fine.any() else len(expected)
    starts = np.r_[0, first : len(expected)] if first else np.arange(len(expected))
    return np.add.reduceat(expected, starts), np.add.reduceat(counts, starts)


def standard_normal(z: Tensor) -> float:
    """p-value of the hypothesis that z (n, ...) holds n D independent standard normal numbers.

    Pearson's test of quartiles, over all D entries of an example together; once as they are, and once after a fixed
    rotation of each example, which brings to light what entries have to do with each other. 0.0 for NaN.
    """
    flat = z.double().flatten(1)
    turn = torch.linalg.qr(torch.randn(flat.shape[1], flat.shape[1], generator=torch.Generator().manual_seed(0)).double()).Q
    return min(1.0, 2 * min(_quartiles(flat), _quartiles(flat @ turn)))


def _quartiles(z: Tensor) -> float:
    """p-value of quarters of each column of z (n, D) in each quartile of the standard normal, columns independent."""
    if not torch.isfinite(z).all():
        return 0.0
    edge = float(special.ndtri(0.75))
    below = torch.stack([(z < at).sum(0) for at in (-edge, 0.0, edge)])
    counts = torch.diff(below, dim=0, prepend=0 * below[:1], append=torch.full_like(below[:1], len(z)))
    expected = len(z) / 4
    return float(special.chdtrc(3 * z.shape[1], float(((counts - expected) ** 2).sum() / expected)))


def mean_matches(
    draw: Callable[[int], Tensor], mean: float, deviation: float, rng: torch.Generator, level: float = LEVEL
) -> bool:
    """True when the average of draws fits a known mean and standard deviation of one draw, by the two-stage rule.

    `draw(seed)` returns (n,) independent numbers; n is taken large enough for the normal approximation (hundreds).
    """

    def p_value(seed: int) -> float:
        values = draw(seed).double()
        score = (values.mean() - mean) / (deviation / values.numel() ** 0.5)
        return float(2 * special.ndtr(-abs(float(score))))

    return two_stage(p_value, rng, level)


def chain_log_prob(logits: Tensor, x: Tensor, axis: int = -1) -> Tensor:
    """Sum of the conditional log-probabilities that logits give to levels x: log p(x) = sum_d log p(x_d | ...), nats.

    logits has one axis more than x, `axis`, which runs over the levels; x is (B, ...). Returns (B,) in float64.
    """
    log_p = logits.double().log_softmax(axis)
    chosen = log_p.gather(axis, x.unsqueeze(axis)).squeeze(axis)
    return chosen.flatten(1).sum(1)


def encode(x: Tensor, num_levels: int) -> Tensor:
    """Number every configuration of levels: x (B, ...) -> (B,), the row of `all_configurations` that equals x."""
    flat = x.flatten(1)
    place = num_levels ** torch.arange(flat.shape[1] - 1, -1, -1)
    return (flat * place).sum(1)


def all_configurations(num_dims: int, num_levels: int) -> Tensor:
    """Every vector of levels, (num_levels**num_dims, num_dims) int64, in lexicographic order."""
    return torch.cartesian_prod(*[torch.arange(num_levels)] * num_dims).reshape(-1, num_dims)


def weakest_link(logits: Tensor, x: Tensor, num_levels: int) -> float:
    """How much the least coupled pair of dimensions still depends on each other: a check wants this far from 0.

    logits: (M, K, D) conditionals at all_configurations x (M, D). For a pair, the total variation by which one's
    conditional changes when the other is set to level 0, averaged over the model; the larger of both directions.
    A sampler that draws in a wrong order conditions on values that are not drawn yet, so this is the size of its mistake.
    """
    p_x = chain_log_prob(logits, x, axis=1).softmax(0)
    conditionals = logits.double().softmax(1)
    dims = x.shape[1]
    change = torch.zeros(dims, dims, dtype=torch.float64)
    for i in range(dims):
        without = x.clone()
        without[:, i] = 0
        distance = (conditionals - conditionals[encode(without, num_levels)]).abs().sum(1) / 2          # (M, D)
        change[i] = p_x @ distance
    pairs = torch.maximum(change, change.T) + torch.eye(dims)
    return float(pairs.min())
