"""Train the feature net on all of Fashion-MNIST and save it as an asset.

    python tools/train_feature_net.py [--folder DIR] [--seed 0] [--name feature_net] [--out common/data/assets]

Takes about seven minutes of one core; prints the accuracy on the official test set (seed 0: 91.47 %).
"""

import argparse
import sys
from pathlib import Path

import torch
from build_fashion import DEBIAN
from torch import Tensor

from common import artifacts
from common.data.formats import read_idx
from common.networks import FeatureNet
from common.seeding import seed_everything
from common.training import fit

EPOCHS = 10
BATCH = 128
ASSETS = Path(__file__).resolve().parents[1] / "common" / "data" / "assets"


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) uint8 and labels (N,) int64 of "train" or "t10k"."""
    images = torch.from_numpy(read_idx(folder / f"{part}-images-idx3-ubyte.gz").copy())
    labels = torch.from_numpy(read_idx(folder / f"{part}-labels-idx1-ubyte.gz").copy())
    return images[:, None], labels.long()


def loss(net: FeatureNet, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of a batch in which a random half is mirrored."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    images = torch.where(mirrored, images.flip(-1), images)
    return net.loss(images / 255, labels)


@torch.inference_mode()
def accuracy(net: FeatureNet, images: Tensor, labels: Tensor) -> float:
    """Share of images whose most likely class is right."""
    chunks = zip(images.split(1000), labels.split(1000))
    return sum(int((net(x / 255).argmax(1) == y).sum()) for x, y in chunks) / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEBIAN, help="where the four idx.gz files are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="feature_net")
    parser.add_argument("--out", type=Path, default=ASSETS)
    options = parser.parse_args()
    train, test = read(options.folder, "train"), read(options.folder, "t10k")
    seed_everything(options.seed)
    net = FeatureNet()
    steps = EPOCHS * len(train[0]) // BATCH
    fit(net, loss, train, steps=steps, batch_size=BATCH, learning_rate=3e-3, weight_decay=0.05, warmup=steps // 10,
        seed=options.seed, precision="float32", device="cpu")  # fmt: skip
    path = artifacts.save(options.name, net, {}, options.out)
    sys.stdout.write(f"{path}: {100 * accuracy(net.eval(), *test):.2f} % of the test set right\n")


if __name__ == "__main__":
    main()
