"""A small problem to train on, and ways to disturb its training."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch

# Also run in another process, hence text. Dropout and noise draw from the global generator.
PROBLEM = """
import torch
from torch import nn
from common import training

X = torch.randn(37, 1, 4, 5, generator=torch.Generator().manual_seed(1))
Y = torch.arange(37) % 3

def build():
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(36, 3))

def loss_fn(model, x, y):
    return nn.functional.cross_entropy(model(x + 0.1 * torch.randn_like(x)), y)

def validate(model):
    return nn.functional.cross_entropy(model(X), Y)

def train(model, loss_fn=loss_fn, **changes):
    arguments = dict(steps=24, batch_size=8, learning_rate=0.02, warmup=3, weight_decay=0.1, clip=0.5, ema=0.8, seed=5,
                     validate=validate, validate_every=5, progress=False)
    return training.fit(model, loss_fn, (X, Y), **{**arguments, **changes})
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test has its own folder, and no PRESET."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRESET", raising=False)
    return tmp_path / "artifacts"


@pytest.fixture(scope="session")
def problem():
    """What PROBLEM defines, and the functions below."""
    names: dict = {}
    exec(PROBLEM, names)

    def trained(**changes):
        model = names["build"]()
        return model, names["train"](model, **changes)

    def doing(action, at_call):
        """The loss function, with an action before one of its calls (0 is the first)."""
        calls = iter(range(10**6))

        def loss(*args):
            if next(calls) == at_call:
                action()
            return names["loss_fn"](*args)

        return loss

    return SimpleNamespace(**names, PROBLEM=PROBLEM, trained=trained, doing=doing, interrupt=interrupt,
                           assert_same_run=assert_same_run)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def assert_same_run(run, other):
    """Each run is (model, history): the same losses, validation and weights, bit by bit."""
    (model, history), (other_model, other_history) = run, other
    assert history.losses == other_history.losses
    assert history.validation == other_history.validation
    assert history.validation_steps == other_history.validation_steps
    for key, value in model.state_dict().items():
        assert torch.equal(value, other_model.state_dict()[key]), key
