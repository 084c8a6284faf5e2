"""Export scikit-learn's 8x8 digits once, so that scikit-learn is no dependency.

python -m venv throwaway && throwaway/bin/pip install scikit-learn==1.9.1
throwaway/bin/python tools/build_digits.py && rm -r throwaway
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TRAIN = 1_500  # of 1,797

if __name__ == "__main__":
    digits = load_digits()
    order = np.random.default_rng(518).permutation(len(digits.target))
    images, labels = digits.images[order].astype(np.uint8), digits.target[order].astype(np.uint8)
    np.savez_compressed(
        Path(__file__).resolve().parents[1] / "common" / "data" / "assets" / "digits.npz",
        train_images=images[:TRAIN],
        train_labels=labels[:TRAIN],
        test_images=images[TRAIN:],
        test_labels=labels[TRAIN:],
    )
