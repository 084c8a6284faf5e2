"""Data of the course: small real image sets, densities with known entropy, and full sets by download."""

from common.data.densities import (
    DENSITIES,
    Density,
    checkerboard,
    eight_gaussians,
    moons,
    pinwheel,
    rings,
    two_spirals,
)
from common.data.densities_1d import Counts, GaussianMixture1d, counts, gaussian_mixture_1d
from common.data.download import DownloadError, download, full_set
from common.data.images import AvatarSet, ImageSet, avatars, digits, fashion_mnist, from_levels, to_levels

__all__ = [
    "DENSITIES",
    "AvatarSet",
    "Counts",
    "Density",
    "DownloadError",
    "GaussianMixture1d",
    "ImageSet",
    "avatars",
    "checkerboard",
    "counts",
    "digits",
    "download",
    "eight_gaussians",
    "fashion_mnist",
    "from_levels",
    "full_set",
    "gaussian_mixture_1d",
    "moons",
    "pinwheel",
    "rings",
    "to_levels",
    "two_spirals",
]
