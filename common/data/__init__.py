"""Data of the course: small real image sets, densities with known entropy, and full sets by download."""

from common.data.images import AvatarSet, ImageSet, avatars, digits, fashion_mnist, from_levels, to_levels

__all__ = ["AvatarSet", "ImageSet", "avatars", "digits", "fashion_mnist", "from_levels", "to_levels"]
