"""Small real image sets that come with the course, and the step between bytes and discrete levels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.data.sources import DIGIT_CLASSES, FASHION_CLASSES

ASSETS = Path(__file__).parent / "assets"
SPLITS = ("train", "test")
DIGIT_LEVELS = 17  # scikit-learn's digits count ink in 4x4 blocks: 0..16


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with class labels.

    images: (N, C, H, W) uint8 in 0..255. labels: (N,) int64, an index into `classes`.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class AvatarSet(ImageSet):
    """Pixel avatars: `images` is `palette[tokens]`, channels first.

    tokens: (N, 16, 16) int64, indices into the palette. palette: (P, 3) uint8, red green blue.
    attributes: name -> (N,) int64, an index into values[name]. labels and classes are those of hair_color.
    """

    tokens: Tensor
    palette: Tensor
    attributes: dict[str, Tensor]
    values: dict[str, tuple[str, ...]]


def fashion_mnist(split: str = "train") -> ImageSet:
    """The embedded part of Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747), classes balanced.

    split: "train" (10,000 images of the official training set) or "test" (2,000 of the official test set).
    images (N, 1, 28, 28), labels 0..9. `full_set("fashion_mnist", split)` gives all 60,000 and 10,000.
    Raises ValueError for another split.
    """
    arrays = read_asset("fashion_mnist", split)
    return ImageSet(_tensor(arrays["images"])[:, None], _labels(arrays["labels"]), FASHION_CLASSES)


def digits(split: str = "train") -> ImageSet:
    """Handwritten digits of 8x8 pixels (Alpaydin and Kaynak 1998, UCI).

    split: "train" (1,500) or "test" (297). images (N, 1, 8, 8): 17 ink levels spread over 0..255, so that
    `to_levels(images, 17)` gives the original counts 0..16. Raises ValueError for another split.
    """
    arrays = read_asset("digits", split)
    scaled = np.rint(arrays["images"] * (255 / (DIGIT_LEVELS - 1))).astype(np.uint8)
    return ImageSet(_tensor(scaled)[:, None], _labels(arrays["labels"]), DIGIT_CLASSES)


def avatars(split: str = "train") -> AvatarSet:
    """Pixel avatars of 16x16 palette tokens with attributes that show in the picture (DiceBear "Pixel Art", CC0).

    split: "train" (10,000) or "test" (1,000); no image occurs twice. images (N, 3, 16, 16), tokens (N, 16, 16) in
    0..31; attributes hair_color, clothing_color, skin, eye_color, hair_length, glasses, hat, mouth.
    Raises ValueError for another split.
    """
    arrays = read_asset("avatars", split)
    values = {name[7:]: tuple(array.tolist()) for name, array in arrays.items() if name.startswith("values_")}
    tokens, palette = _labels(arrays["tokens"]).view(-1, 16, 16), _tensor(arrays["palette"])
    attributes = {name: _labels(arrays[name]) for name in values}
    images = palette[tokens].permute(0, 3, 1, 2).contiguous()  # (N, 3, 16, 16)
    return AvatarSet(
        images, attributes["hair_color"], values["hair_color"], tokens, palette, attributes=attributes, values=values
    )


def to_levels(images: Tensor, num_levels: int) -> Tensor:
    """Quantise bytes to equal bins: floor(x * num_levels / 256), so 0..255 becomes 0..num_levels-1.

    images: uint8, any shape. Returns int64 of the same shape. Raises TypeError for another dtype, ValueError for
    num_levels outside 2..256.
    """
    _check_levels(num_levels)
    if images.dtype != torch.uint8:
        raise TypeError(f"to_levels takes uint8 images in 0..255, not {images.dtype}")
    return images.long() * num_levels // 256


def from_levels(levels: Tensor, num_levels: int) -> Tensor:
    """Levels as grey values for a picture: k / (num_levels - 1), float32 in [0, 1].

    levels: integers in 0..num_levels-1, any shape. Raises ValueError for levels or num_levels out of range.
    """
    _check_levels(num_levels)
    if levels.numel() and (levels.min() < 0 or levels.max() >= num_levels):
        raise ValueError(f"levels lie in {levels.min()}..{levels.max()}, expected 0..{num_levels - 1}")
    return levels.to(torch.float32) / (num_levels - 1)


def read_asset(name: str, split: str) -> dict[str, np.ndarray]:
    """Arrays of one embedded set: those of the split, without its prefix, and those that belong to no split."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    path = ASSETS / f"{name}.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: unpack the course's files again, common/data/assets included")
    with np.load(path) as archive:
        wanted = [key for key in archive.files if key.split("_")[0] not in SPLITS or key.startswith(f"{split}_")]
        return {key.removeprefix(f"{split}_"): archive[key] for key in wanted}


def _check_levels(num_levels: int) -> None:
    if not 2 <= num_levels <= 256:
        raise ValueError(f"num_levels is {num_levels}, expected 2..256")


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _labels(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))
