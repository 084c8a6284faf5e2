"""Networks that homeworks give to students."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureNet(nn.Module):
    """A classifier of 28x28 grey images whose last hidden layer measures distances between images.

    Its 64 features play the part that Inception's 2,048 play in the usual FID: few enough that 2,000 samples give a
    covariance of full rank. About 76,000 parameters.
    """

    image_shape = (1, 28, 28)
    num_features = 64

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, 16, stride=1),
            *_block(16, 32, stride=2),  # 14x14
            *_block(32, 64, stride=2),  # 7x7
            *_block(64, 80, stride=1),
        )
        self.project = nn.Linear(80, self.num_features)
        self.head = nn.Linear(self.num_features, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Features before the last rectifier: (B, 1, 28, 28) in [0, 1] -> (B, 64).

        Raises ValueError for images of another shape.
        """
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"images have shape {tuple(images.shape)}, expected (B, 1, 28, 28)")
        return self.project(self.body(2 * images - 1).mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """Class logits: (B, 1, 28, 28) in [0, 1] -> (B, num_classes)."""
        return self.head(torch.relu(self.features(images)))

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy in nats; labels (B,) int64."""
        return F.cross_entropy(self(images), labels)


def _block(in_channels: int, out_channels: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU()
