"""Exponential moving average of weights: smoother than the last step's, and usually better."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """average <- d * average + (1 - d) * weights, with d = min(decay, (1 + t) / (10 + t)) at update t = 0, 1, ...

    The rising d lets the average forget the random start (the rule of TensorFlow's ExponentialMovingAverage).
    Raises ValueError unless 0 <= decay < 1.
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"ema is {decay}; a decay lies in [0, 1), such as 0.999 (or None for no average)")
        self.decay = decay
        self.updates = 0
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters() if p.is_floating_point()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in model.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(parameter, 1 - decay)
        self.updates += 1

    def restore(self, updates: int, weights: dict[str, Tensor]) -> None:
        """Take over a saved average, whatever device it was saved from."""
        self.updates = updates
        for name, value in weights.items():
            self.weights[name].copy_(value)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Inside the block the model has the averaged weights; afterwards its own again."""
        own = {name: p.detach().clone() for name, p in model.named_parameters()}
        copy_weights(model, self.weights)
        try:
            yield
        finally:
            copy_weights(model, own)


@torch.no_grad()
def copy_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy the named tensors into the model's parameters, in place."""
    parameters = dict(model.named_parameters())
    for name, value in weights.items():
        parameters[name].copy_(value)
