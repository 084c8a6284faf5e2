"""Distributions in one and two dimensions whose log-density is known, and so the best loss a model can reach.

Every density has `sample(n, generator)`, `log_prob(x)` in nats and `entropy` in nats: the expected negative
log-likelihood of the true distribution, the floor under any model's. Two-dimensional ones live in `extent`, a square
[-extent, extent]^2 for plots.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

CHUNK = 8192  # grid points at a time


class Density(ABC):
    """A distribution on the plane with exact log-density and known entropy."""

    extent: float = 4.0
    cell: float = 0.05  # grid step of the entropy's quadrature: at most half the narrowest feature

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent points, (n, 2) float32, on the generator's device. Raises ValueError for n < 1."""
        if n < 1:
            raise ValueError(f"n is {n}, expected at least 1")
        return self._sample(n, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats, of x's dtype: (..., 2) -> (...). Raises ValueError when the last size is not 2."""
        if x.shape[-1:] != (2,):
            raise ValueError(f"points have shape {tuple(x.shape)}, expected (..., 2)")
        return self._log_prob(x.reshape(-1, 2)).reshape(x.shape[:-1])

    @cached_property
    def entropy(self) -> float:
        """-E[log p(x)] in nats, by quadrature on a grid (the trapezoidal rule is exact to 1e-6 or better here)."""
        side = torch.arange(-self.extent, self.extent + self.cell / 2, self.cell, dtype=torch.float64)
        grid = torch.cartesian_prod(side, side)
        log_p = torch.cat([self.log_prob(points) for points in grid.split(CHUNK)])
        return float(-torch.special.xlogy(log_p.exp(), log_p.exp()).sum() * self.cell**2)

    @abstractmethod
    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor: ...

    @abstractmethod
    def _log_prob(self, x: Tensor) -> Tensor: ...


class GaussianMixture(Density):
    """Mixture of round Gaussians: p(x) = sum_k w_k N(x; m_k, scale^2 I)."""

    def __init__(self, means: Tensor, weights: Tensor, scale: float, extent: float) -> None:
        """means: (K, 2). weights: (K,), summing to 1."""
        self.means, self.weights, self.scale = means.double(), weights.double(), scale
        self.extent, self.cell = extent, scale / 2

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        which = torch.multinomial(self.weights.to(_device(generator)), n, replacement=True, generator=generator)
        means = self.means.to(which.device, torch.float32)
        return means[which] + self.scale * _normal((n, 2), generator)

    def _log_prob(self, x: Tensor) -> Tensor:
        means, log_weights = self.means.to(x), self.weights.log().to(x)
        distance = torch.cdist(x, means, compute_mode="donot_use_mm_for_euclid_dist")  # (N, K)
        return torch.logsumexp(log_weights - 0.5 * (distance / self.scale) ** 2, -1) - math.log(2 * math.pi * self.scale**2)


class NoisyCurves(GaussianMixture):
    """A point on one of several curves, plus round Gaussian noise.

    p(x) = mean over curves of int_0^1 N(x; curve(u), scale^2 I) weight(u) du. The integral is a Gauss-Legendre sum,
    which turns the density into a mixture of Gaussians; sampling draws u itself from its continuous distribution.
    """

    def __init__(
        self,
        curves: Sequence[Callable[[Tensor], Tensor]],
        quantile: Callable[[Tensor], Tensor],
        weight: Callable[[Tensor], Tensor],
        scale: float,
        extent: float,
        speed: float,
    ) -> None:
        """curves: u (n,) in [0, 1] -> (n, 2). weight: the density of u; quantile: the inverse of its integral.

        speed: about the curve's length per unit of u; nodes come to lie at most one noise scale apart, which makes the
        sum exact to 1e-8.
        """
        if scale <= 0:
            raise ValueError(f"the noise has scale {scale}, expected more than 0")
        nodes = math.ceil(math.pi * speed / scale)  # Gauss-Legendre nodes are pi / 2 times their mean distance apart
        points, weights = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(nodes))
        u = (points + 1) / 2
        means = torch.cat([curve(u) for curve in curves])
        super().__init__(means, (weights / 2 * weight(u) / len(curves)).repeat(len(curves)), scale, extent)
        self.curves, self.quantile = curves, quantile

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        u = self.quantile(_uniform((n,), generator))
        which = torch.randint(len(self.curves), (n,), generator=generator, device=u.device)
        points = torch.stack([curve(u) for curve in self.curves])[which, torch.arange(n, device=u.device)]
        return points + self.scale * _normal((n, 2), generator)


class Checkerboard(Density):
    """Uniform on the eight dark squares, of side 2, of a 4x4 board on [-4, 4]^2. Entropy: ln 32."""

    entropy = math.log(32)

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        column, row = (torch.randint(size, (n,), generator=generator, device=_device(generator)) for size in (4, 2))
        corner = 2.0 * torch.stack([column - 2, 2 * row - 2 + column % 2], -1)
        inside = _uniform((n, 2), generator).clamp(max=1 - 2**-20)  # float32 may round up into the next square
        return corner + 2 * inside

    def _log_prob(self, x: Tensor) -> Tensor:
        column, row = torch.floor(x / 2).unbind(-1)
        dark = ((column + row) % 2 == 0) & (x >= -self.extent).all(-1) & (x < self.extent).all(-1)
        return torch.where(dark, -math.log(32.0), -torch.inf).to(x)


class Rings(Density):
    """Uniform on concentric circles, plus round Gaussian noise.

    For a circle of radius R the angle integrates to a Bessel function (Rice's distribution):
    p(x) = exp(-(|x|^2 + R^2) / 2 s^2) I_0(|x| R / s^2) / (2 pi s^2).
    """

    def __init__(self, radii: Sequence[float], scale: float) -> None:
        """Raises ValueError for scale <= 0."""
        if scale <= 0:
            raise ValueError(f"the noise has scale {scale}, expected more than 0")
        self.radii, self.scale = torch.tensor(radii, dtype=torch.float64), scale
        self.extent = max(radii) + 8 * scale

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        angle = 2 * math.pi * _uniform((n,), generator)
        which = torch.randint(len(self.radii), (n,), generator=generator, device=angle.device)
        radius = self.radii.to(angle)[which]
        on_ring = radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
        return on_ring + self.scale * _normal((n, 2), generator)

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._log_prob_at(x.norm(dim=-1))

    def _log_prob_at(self, distance: Tensor) -> Tensor:
        radii, variance = self.radii.to(distance), self.scale**2
        exponent = -((distance[:, None] - radii) ** 2) / (2 * variance)
        bessel = torch.special.i0e(distance[:, None] * radii / variance).log()  # I_0 without its exponential
        return torch.logsumexp(exponent + bessel, -1) - math.log(2 * math.pi * variance * len(radii))

    @cached_property
    def entropy(self) -> float:
        """-E[log p(x)] in nats, by quadrature over the radius: -int p log p 2 pi r dr."""
        step = self.scale / 50
        distance = torch.arange(step / 2, self.extent, step, dtype=torch.float64)
        log_p = self._log_prob_at(distance)
        return float(-(log_p.exp() * log_p * 2 * math.pi * distance).sum() * step)


class Pinwheel(Density):
    """Long Gaussian blades, wound up by a rotation whose angle grows with the distance from the centre.

    z ~ N((1, 0), diag(radial^2, tangential^2)), x = 2 R(2 pi k / blades + rate e^|z|) z for a random blade k. A
    rotation by an angle that depends on the distance alone keeps areas, so only the factor 2 changes the density.
    """

    extent = 6.0
    cell = 0.04

    def __init__(self, blades: int, radial: float, tangential: float, rate: float) -> None:
        """Raises ValueError for fewer than one blade or widths that are not positive."""
        if blades < 1 or radial <= 0 or tangential <= 0:
            raise ValueError(f"a pinwheel needs blades >= 1 and widths > 0, got {blades}, {radial}, {tangential}")
        self.blades, self.rate = blades, rate
        self.widths = torch.tensor([radial, tangential], dtype=torch.float64)

    def _sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        normal = _normal((n, 2), generator)
        z = normal * self.widths.to(normal) + torch.tensor([1.0, 0.0]).to(normal)
        blade = torch.randint(self.blades, (n,), generator=generator, device=z.device)
        return 2 * _rotate(z, self._angle(z.norm(dim=-1), blade))

    def _log_prob(self, x: Tensor) -> Tensor:
        z, blades = x[:, None] / 2, torch.arange(self.blades, device=x.device)  # (N, 1, 2)
        unwound = _rotate(z, -self._angle(z.norm(dim=-1), blades))  # (N, blades, 2)
        offset = unwound - torch.tensor([1.0, 0.0]).to(x)
        log_gauss = -0.5 * ((offset / self.widths.to(x)) ** 2).sum(-1)
        norm = math.log(2 * math.pi * float(self.widths.prod()) * self.blades * 4)
        return torch.logsumexp(log_gauss, -1) - norm

    def _angle(self, distance: Tensor, blade: Tensor) -> Tensor:
        return 2 * math.pi * blade / self.blades + self.rate * distance.exp()


def moons(noise: float = 0.1) -> Density:
    """Two interleaved half circles of radius 1 (scikit-learn's), plus Gaussian noise. Entropy 1.0076 at noise 0.1."""
    arcs = [partial(_half_circle, centre=(0.0, 0.0), side=1), partial(_half_circle, centre=(1.0, 0.5), side=-1)]
    return NoisyCurves(arcs, torch.clone, torch.ones_like, noise, extent=2 + 8 * noise, speed=math.pi)


def eight_gaussians() -> Density:
    """Eight equal Gaussians on a circle of radius 4 / sqrt 2, scale 0.5 / sqrt 2 (FFJORD's). Entropy 2.8316."""
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    means = torch.stack([angle.cos(), angle.sin()], -1) * (4 / math.sqrt(2))
    return GaussianMixture(means, torch.full((8,), 1 / 8), 0.5 / math.sqrt(2), extent=6.0)


def checkerboard() -> Density:
    """Uniform on the dark squares of a 4x4 board on [-4, 4]^2. Entropy ln 32 = 3.4657, exactly."""
    return Checkerboard()


def rings() -> Density:
    """Four circles of radius 0.75, 1.5, 2.25 and 3, plus Gaussian noise 0.08. Entropy 2.6232."""
    return Rings((0.75, 1.5, 2.25, 3.0), 0.08)


def pinwheel() -> Density:
    """Five wound blades. Entropy 2.3206."""
    return Pinwheel(5, radial=0.3, tangential=0.1, rate=0.25)


def two_spirals(noise: float = 0.11) -> Density:
    """Two spirals of one and a half turns, out to radius pi, plus Gaussian noise. Entropy 2.636 at noise 0.11."""
    arms = [partial(_spiral, side=1), partial(_spiral, side=-1)]
    return NoisyCurves(arms, torch.sqrt, lambda u: 2 * u, noise, extent=math.pi + 8 * noise, speed=3 * math.pi)


DENSITIES: dict[str, Callable[[], Density]] = {
    function.__name__: function for function in (moons, eight_gaussians, checkerboard, rings, pinwheel, two_spirals)
}


def _half_circle(u: Tensor, centre: tuple[float, float], side: int) -> Tensor:
    return torch.tensor(centre).to(u) + side * torch.stack([(math.pi * u).cos(), (math.pi * u).sin()], -1)


def _spiral(u: Tensor, side: int) -> Tensor:
    angle = 3 * math.pi * u
    return side * math.pi * u[:, None] * torch.stack([-angle.cos(), angle.sin()], -1)


def _rotate(z: Tensor, angle: Tensor) -> Tensor:
    x, y = z.unbind(-1)
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], -1)


def _device(generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=_device(generator), dtype=torch.float32)


def _normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, device=_device(generator), dtype=torch.float32)
