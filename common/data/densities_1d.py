"""One-dimensional distributions with known entropy: a continuous one, and counts for histograms and mixtures."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor


class GaussianMixture1d:
    """Mixture of Gaussians on the line: p(x) = sum_k weights_k N(x; means_k, scales_k^2)."""

    def __init__(self, weights: Sequence[float], means: Sequence[float], scales: Sequence[float]) -> None:
        """Raises ValueError when the three differ in length, weights are no distribution, or a scale is not > 0."""
        if not len(weights) == len(means) == len(scales) >= 1:
            raise ValueError(f"{len(weights)} weights, {len(means)} means, {len(scales)} scales: expected as many of each")
        if min(weights) < 0 or abs(sum(weights) - 1) > 1e-9 or min(scales) <= 0:
            raise ValueError("weights must be 0 or more and sum to 1, scales must be more than 0")
        parameters = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, scales))
        self.weights, self.means, self.scales = parameters

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n,) float32, on the generator's device. Raises ValueError for n < 1."""
        which = _choose(self.weights, n, generator)
        noise = torch.randn(n, generator=generator, device=which.device, dtype=torch.float32)
        return self.means.to(noise)[which] + self.scales.to(noise)[which] * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats, of x's dtype: (...) -> (...)."""
        weights, means, scales = (values.to(x) for values in (self.weights, self.means, self.scales))
        z = (x[..., None] - means) / scales
        return torch.logsumexp(weights.log() - 0.5 * z**2 - (scales * math.sqrt(2 * math.pi)).log(), -1)

    def cdf(self, x: Tensor) -> Tensor:
        """P(X <= x): (...) -> (...), of x's dtype."""
        weights, means, scales = (values.to(x) for values in (self.weights, self.means, self.scales))
        return (weights * torch.special.ndtr((x[..., None] - means) / scales)).sum(-1)

    @cached_property
    def entropy(self) -> float:
        """-E[log p(x)] in nats, by the trapezoidal rule; exact to 1e-9."""
        low, high = (self.means - 10 * self.scales).min(), (self.means + 10 * self.scales).max()
        step = float(self.scales.min()) / 20
        log_p = self.log_prob(torch.arange(float(low), float(high), step, dtype=torch.float64))
        return float(-torch.special.xlogy(log_p.exp(), log_p.exp()).sum() * step)


class Counts:
    """A distribution over the levels 0..num_levels-1 with given probabilities."""

    def __init__(self, probabilities: Tensor) -> None:
        """probabilities: (num_levels,), 0 or more, summing to 1 (else ValueError)."""
        probabilities = probabilities.double()
        if probabilities.ndim != 1 or bool((probabilities < 0).any()) or abs(float(probabilities.sum()) - 1) > 1e-6:
            raise ValueError("probabilities must be one-dimensional, 0 or more, and sum to 1")
        self.probabilities = probabilities

    @property
    def num_levels(self) -> int:
        return len(self.probabilities)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent levels, (n,) int64, on the generator's device. Raises ValueError for n < 1."""
        return _choose(self.probabilities, n, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability in nats: levels (...) int64 -> (...) float32. Raises ValueError for levels out of range."""
        if x.numel() and (x.min() < 0 or x.max() >= self.num_levels):
            raise ValueError(f"levels lie in {x.min()}..{x.max()}, expected 0..{self.num_levels - 1}")
        return self.probabilities.log().to(x.device, torch.float32)[x]

    @cached_property
    def entropy(self) -> float:
        """-sum_k p_k log p_k in nats."""
        return float(torch.special.entr(self.probabilities).sum())


def gaussian_mixture_1d() -> GaussianMixture1d:
    """Three unequal, overlapping bumps on about [-1, 1]. Entropy 0.2643."""
    return GaussianMixture1d(weights=(0.5, 0.3, 0.2), means=(-0.5, 0.1, 0.7), scales=(0.15, 0.05, 0.2))


def counts(num_levels: int = 64) -> Counts:
    """`gaussian_mixture_1d` in bins: level k sits at 2k/(num_levels-1) - 1, first and last bin take the tails.

    Raises ValueError for num_levels < 2.
    """
    if num_levels < 2:
        raise ValueError(f"num_levels is {num_levels}, expected 2 or more")
    edges = (2 * torch.arange(num_levels - 1, dtype=torch.float64) + 1) / (num_levels - 1) - 1  # between neighbours
    below = gaussian_mixture_1d().cdf(edges)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return Counts(torch.cat([ends[:1], below, ends[1:]]).diff())


def _choose(probabilities: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    device = generator.device if generator is not None else torch.device("cpu")
    return torch.multinomial(probabilities.to(device), n, replacement=True, generator=generator)
