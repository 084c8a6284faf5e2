"""Device and precision follow from what the hardware can do."""

import math

import pytest
import torch
from torch import nn

from common import training
from common.training.device import wants_bfloat16


@pytest.mark.parametrize("capabilities, gains", [
    ({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"amx_bf16": False}, False),
    ({}, False),
])
def test_bfloat16_only_where_the_cpu_multiplies_it(monkeypatch, capabilities, gains):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    cpu = torch.device("cpu")
    assert training.gains_from_bfloat16(cpu) == gains
    assert wants_bfloat16("auto", cpu, nn.Linear(2, 2)) == gains
    assert not wants_bfloat16("auto", cpu, nn.Linear(2, 2).double()), "a float64 model is meant to be exact"
    assert not wants_bfloat16("float32", cpu, nn.Linear(2, 2))
    assert wants_bfloat16("bfloat16", cpu, nn.Linear(2, 2))


def test_precision_holds_for_the_loss_and_not_for_validation(problem):
    kinds = set()

    def loss(model, x, y):
        kinds.add(("loss", model(x).dtype))
        return problem.loss_fn(model, x, y)

    def value(model):
        kinds.add(("validate", model(problem.X).dtype))
        return problem.validate(model)

    model, history = problem.trained(loss_fn=loss, validate=value, precision="bfloat16")
    assert kinds == {("loss", torch.bfloat16), ("validate", torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(math.isfinite(value) for value in history.losses)
    assert history.losses[-1] < history.losses[0]


def test_convolutions_are_channels_last_during_training_only(problem):
    formats = set()

    def loss(model, x, y):
        formats.add(model[0].weight.is_contiguous(memory_format=torch.channels_last))
        return problem.loss_fn(model, x, y)

    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(24, 3))
    data = (problem.X.expand(-1, 2, -1, -1), problem.Y)
    training.fit(model, loss, data, steps=2, batch_size=4, learning_rate=0.01, progress=False)
    assert formats == {True}
    assert model[0].weight.is_contiguous()


def test_the_gpu_is_taken_when_there_is_one(monkeypatch):
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert training.default_device().type == kind


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_on_a_gpu(problem):
    first, second = problem.trained(), problem.trained()
    assert next(first[0].parameters()).is_cuda
    assert first[1].losses == second[1].losses
    assert first[1].losses[-1] < first[1].losses[0]
