"""How good are samples? Distances between two sets of images in the features of a small classifier.

Every number depends on the feature net and on the number of samples: compare only at equal n (2,000 or more), and
print the value of real images against other real images, the floor, beside it.
"""

import math
from functools import cache

import torch
from torch import Tensor

from common import artifacts
from common.data.images import ASSETS
from common.networks import FeatureNet

BATCH = 500  # rows at a time: 10,000 x 10,000 distances would need 800 MB


def nats_to_bits_per_dim(nats: float | Tensor, num_dims: int) -> float | Tensor:
    """Negative log-likelihood in nats per example, summed over its dimensions, as bits per dimension.

    nats / (num_dims ln 2), of the shape of nats. Raises ValueError for num_dims < 1.
    """
    if num_dims < 1:
        raise ValueError(f"num_dims is {num_dims}, expected at least 1")
    return nats / (num_dims * math.log(2))


@torch.inference_mode()
def features(images: Tensor) -> Tensor:
    """Features of grey images in the shipped net, on the CPU: (N, 1, 28, 28) uint8 in 0..255 -> (N, 64) float32.

    Raises TypeError for another dtype, ValueError for another shape.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"features takes uint8 images in 0..255, not {images.dtype}: scale and round them first")
    return torch.cat([feature_net().features(batch / 255) for batch in images.cpu().split(BATCH)])


@cache
def feature_net() -> FeatureNet:
    """The shipped classifier, trained on Fashion-MNIST (tools/train_feature_net.py), in eval mode."""
    return artifacts.load("feature_net", FeatureNet, ASSETS).eval()


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Fréchet distance of the Gaussians with the two sets' means and covariances (FID, Heusel 2017, arXiv:1706.08500).

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), covariances with ddof 1. features: (n, d) and (m, d), n, m >= 2.
    The trace of the root is the sum of the singular values of C_a^(1/2) C_b^(1/2), which stays real for singular
    covariances. Biased upwards for few samples: about d (d + 1) / 2 numbers are estimated.
    Raises ValueError for other shapes, fewer than two rows, or values that are not finite.
    """
    a, b = _checked(features_a, features_b)
    covariance_a, covariance_b = (torch.atleast_2d(torch.cov(x.T)) for x in (a, b))
    trace_of_root = torch.linalg.svdvals(_root(covariance_a) @ _root(covariance_b)).sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    distance = shift + covariance_a.trace() + covariance_b.trace() - 2 * trace_of_root
    return max(float(distance), 0.0)  # rounding may leave -1e-12


def kernel_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with k(x, y) = (x.y / d + 1)^3 (KID, Binkowski 2018, arXiv:1801.01401).

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean k(a_i, b_j). May be negative; its mean is 0 for equal
    distributions at any n. features: (n, d) and (m, d), n, m >= 2. Raises ValueError as frechet_distance does.
    """
    a, b = _checked(features_a, features_b)
    return _mean_kernel_within(a) + _mean_kernel_within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem 2020, arXiv:2002.09797, equations 4 and 5).

    The ball of a real point reaches to its k-th nearest other real point. Density: real balls that hold a fake point,
    averaged over fakes, over k; about 1 for equal distributions, more where fakes sit in the crowd. Coverage: share of
    real balls that hold at least one fake. real: (n, d), n > k. fake: (m, d), m >= 1.
    Raises ValueError for k outside 1..n-1, other shapes, or values that are not finite.
    """
    real, fake = _checked(real, fake, at_least=1)
    if not 1 <= k < len(real):
        raise ValueError(f"k is {k}, expected 1..{len(real) - 1} for {len(real)} real points")
    held = torch.cat([_fakes_held(rows, real, fake, k) for rows in real.split(BATCH)])  # (n,)
    return float(held.sum() / (k * len(fake))), float((held > 0).double().mean())


def _checked(a: Tensor, b: Tensor, at_least: int = 2) -> tuple[Tensor, Tensor]:
    """Both as float64 on the CPU, where squares of features lose nothing."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features have shapes {tuple(a.shape)} and {tuple(b.shape)}, expected (n, d) and (m, d)")
    if min(len(a), len(b)) < at_least:
        raise ValueError(f"{min(len(a), len(b))} rows of features, expected at least {at_least}")
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("features hold NaN or infinite values: look at the samples first")
    return a, b


def _root(covariance: Tensor) -> Tensor:
    """Symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    return float(sum(((rows @ y.T / x.shape[1] + 1) ** 3).sum() for rows in x.split(BATCH)))


def _mean_kernel_within(x: Tensor) -> float:
    """Mean over pairs of different points: a point's likeness to itself would bias the estimate."""
    itself = float(((x.square().sum(1) / x.shape[1] + 1) ** 3).sum())
    return (_kernel_sum(x, x) - itself) / (len(x) * (len(x) - 1))


def _fakes_held(rows: Tensor, real: Tensor, fake: Tensor, k: int) -> Tensor:
    """How many fakes lie in the ball of each of these real points: (rows,)."""
    radius = _distances(rows, real).kthvalue(k + 1, dim=1).values  # the nearest real point is the point itself
    return (_distances(rows, fake) <= radius[:, None]).sum(1)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
