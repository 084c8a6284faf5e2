"""Build the embedded part of Fashion-MNIST and HW1's held-out split from the four original idx files.

    python tools/build_fashion.py [FOLDER]     # default: where Debian's dataset-fashion-mnist puts them

Train comes from the official training set; test and held-out come from the official test set, as disjoint parts, so
that the feature net (trained on all 60,000 training images) has seen neither. Classes are balanced in each part.
"""

import sys
from pathlib import Path

import numpy as np

from common.data.formats import read_idx

ROOT = Path(__file__).resolve().parents[1]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
PER_CLASS = {"train": 1_000, "test": 200, "heldout": 60}


def choose(labels: np.ndarray, allowed: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffled indices, `per_class` of each class, among those allowed."""
    picks = [rng.choice(np.flatnonzero((labels == c) & allowed), per_class, replace=False) for c in range(10)]
    return rng.permutation(np.concatenate(picks))


def main(folder: Path) -> None:
    images, labels = (read_idx(folder / f"train-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
    test_images, test_labels = (read_idx(folder / f"t10k-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
    rng = np.random.default_rng(518)
    train = choose(labels, np.ones(len(labels), bool), PER_CLASS["train"], rng)
    seen = {image.tobytes() for image in images}  # the sets hold a few exact repeats: keep them out of test
    fresh = np.array([image.tobytes() not in seen for image in test_images])
    test = choose(test_labels, fresh, PER_CLASS["test"], rng)
    fresh[test] = False
    heldout = choose(test_labels, fresh, PER_CLASS["heldout"], rng)
    np.savez_compressed(
        ROOT / "common" / "data" / "assets" / "fashion_mnist.npz",
        train_images=images[train],
        train_labels=labels[train],
        test_images=test_images[test],
        test_labels=test_labels[test],
    )
    np.savez_compressed(
        ROOT / "hw1_autoregressive" / "heldout" / "fashion.npz",
        images=test_images[heldout][:, None],
        labels=test_labels[heldout].astype(np.int64),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN)
