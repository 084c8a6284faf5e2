"""Training: the same seed gives the same run, it learns, and mistakes have a sentence."""

import math

import pytest
import torch
from torch import nn

from common import training
from common.training import loop


def test_the_same_seed_gives_the_same_run(problem):
    first = problem.trained()
    torch.manual_seed(99)  # what the caller does with the global generator is of no importance
    model = problem.build()
    torch.manual_seed(98)
    problem.assert_same_run(first, (model, problem.train(model)))
    assert problem.trained(seed=6)[1].losses != first[1].losses
    assert len(first[1].losses) == 24
    assert first[1].validation_steps == [5, 10, 15, 20, 24]


def test_the_callers_random_numbers_go_on(problem):
    torch.manual_seed(3)
    expected = torch.rand(3)
    model = problem.build()
    torch.manual_seed(3)
    problem.train(model)
    assert torch.equal(torch.rand(3), expected)


def test_training_learns():
    """A linear model on data without noise reaches a loss of almost 0 and finds the weights."""
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([[1.0, -2.0, 0.5]])
    model = nn.Linear(3, 1)
    history = training.fit(model, lambda m, x, y: (m(x) - y).square().mean(), (x, x @ weight.T + 0.7), steps=250,
                           batch_size=16, learning_rate=0.05, progress=False)
    assert history.losses[-1] < 1e-3 < history.losses[0]
    assert torch.allclose(model.weight, weight, atol=0.02)
    assert torch.allclose(model.bias, torch.tensor([0.7]), atol=0.02)

def test_clipping_bounds_the_gradient(problem):
    def steep(model, x, y):
        return 1e4 * problem.loss_fn(model, x, y)

    norms = {}
    for clip in (0.5, None):
        model, _ = problem.trained(loss_fn=steep, clip=clip)
        norms[clip] = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert norms[0.5] == pytest.approx(0.5, rel=1e-3)
    assert norms[None] > 100


def test_weight_decay_is_for_matrices_only():
    model = nn.Linear(3, 2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    training.fit(model, lambda m, x: 0 * m(x).sum(), torch.ones(4, 3), steps=1, batch_size=2, learning_rate=0.1,
                 weight_decay=0.5, progress=False)
    assert torch.allclose(model.weight, before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias, before["bias"])

def test_progress_shows_loss_floor_and_time_left(problem, capsys):
    problem.train(problem.build(), progress=True, floor=0.25, name="e1_run")
    text = capsys.readouterr().out
    for part in ("e1_run", "24/24 steps", "loss ", "validation ", "floor 0.25", "00:00 left"):
        assert part in text


def test_progress_can_be_switched_off(problem, capsys):
    problem.train(problem.build(), progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("value, at", [(float("nan"), 0), (float("inf"), 9)])
def test_a_loss_that_is_not_finite_stops_training(problem, folder, value, at, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    calls = iter(range(100))

    def loss(*args):
        return problem.loss_fn(*args) + (value if next(calls) == at else 0.0)

    model = problem.build()
    with pytest.raises(training.TrainingError, match=f"The loss is {value} at step {at}. Try a smaller learning rate"):
        problem.train(model, loss_fn=loss, name="run")
    assert not (folder / "run.resume").exists(), "the next call would go on from broken weights"
    assert not model.training


@pytest.mark.parametrize("loss, sentence", [
    (lambda m, x, y: m(x).sum(dim=1), r"one number.*returned \[8\]"),
    (lambda m, x, y: 0.5, "one number.*returned float"),
    (lambda m, x, y: m(x).detach().sum(), "does not depend on the model's parameters"),
])
def test_a_loss_of_the_wrong_kind_is_named(problem, loss, sentence):
    with pytest.raises(training.TrainingError, match=sentence):
        problem.train(problem.build(), loss_fn=loss)


def test_a_validation_that_is_nan_is_an_error(problem):
    with pytest.raises(training.TrainingError, match="validate returned NaN after step 5"):
        problem.train(problem.build(), validate=lambda model: float("nan"))


@pytest.mark.parametrize("change, sentence", [
    ({"steps": 0}, "steps is 0"),
    ({"batch_size": -1}, "batch_size is -1"),
    ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ({"clip": 0.0}, "clip is 0.0"),
    ({"schedule": "none"}, "schedule is 'none'"),
    ({"precision": "fp16"}, "precision is 'fp16'"),
    ({"warmup": -1}, "can't be negative"),
    ({"validate_every": -5}, "validate_every is -5"),
])
def test_wrong_arguments_are_refused(problem, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        problem.train(problem.build(), **change)


@pytest.mark.parametrize("data", [(), (torch.ones(3, 1), torch.ones(2)), torch.ones(0, 1), [1, 2], torch.tensor(1.0)])
def test_wrong_data_are_refused(problem, data):
    with pytest.raises(ValueError, match="data"):
        training.fit(problem.build(), problem.loss_fn, data, steps=1, batch_size=1, learning_rate=0.1)
    with pytest.raises(ValueError, match="no parameters to train"):
        training.fit(nn.ReLU(), problem.loss_fn, (problem.X, problem.Y), steps=1, batch_size=1, learning_rate=0.1)


def test_a_history_shows_itself_in_a_line(problem):
    _, history = problem.trained()
    assert repr(history).startswith("<History of 24 steps in ")
    assert f"best validation {min(history.validation):.4g}" in repr(history)
    assert repr(training.History(interrupted=True)) == "<History of 0 steps in 0 s, interrupted>"
