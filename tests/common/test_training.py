"""Training: the same seed gives the same run, interrupted or not; the best weights stay; mistakes have a sentence."""

import math
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from common import training
from common.training import loop
from common.training.averaging import Average
from common.training.device import wants_bfloat16
from common.training.schedule import seed_at

ROOT = Path(__file__).resolve().parents[2]
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
problem: dict = {}
exec(PROBLEM, problem)
build, loss_fn, train, validate, X, Y = (problem[n] for n in ("build", "loss_fn", "train", "validate", "X", "Y"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRESET", raising=False)
    return tmp_path / "artifacts"


def doing(action, at_call):
    """The loss function, with an action before one of its calls (0 is the first)."""
    calls = iter(range(10**6))

    def loss(*args):
        if next(calls) == at_call:
            action()
        return loss_fn(*args)

    return loss


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def assert_same_run(run, other):
    (model, history), (other_model, other_history) = run, other
    assert history.losses == other_history.losses
    assert history.validation == other_history.validation
    assert history.validation_steps == other_history.validation_steps
    for key, value in model.state_dict().items():
        assert torch.equal(value, other_model.state_dict()[key]), key


def trained(**changes):
    model = build()
    return model, train(model, **changes)


# Presets

def test_preset_comes_from_the_environment(monkeypatch):
    assert training.preset() == "small"
    for name, value in (("smoke", 1), ("small", 2), ("full", 3)):
        monkeypatch.setenv("PRESET", name)
        assert (training.preset(), training.by_preset(smoke=1, small=2, full=3)) == (name, value)


@pytest.mark.parametrize("value", ["tiny", "SMALL", "small "])
def test_a_wrong_preset_is_an_error(monkeypatch, value):
    monkeypatch.setenv("PRESET", value)
    with pytest.raises(ValueError, match=r"PRESET.*smoke.*small.*full"):
        training.by_preset(smoke=1, small=2, full=3)


# What happens at a step

def test_learning_rate_rises_then_falls_to_zero():
    rates = [training.learning_rate_at(i, 100, 0.3, warmup=20) for i in range(100)]
    assert max(rates) == rates[20] == 0.3
    assert rates[:20] == pytest.approx([0.3 * (i + 1) / 21 for i in range(20)])
    assert all(a > b > 0 for a, b in pairwise(rates[20:]))
    assert rates[60] == pytest.approx(0.15)
    assert rates[99] < 0.3 * 1e-3
    assert {training.learning_rate_at(i, 100, 0.3, schedule="constant") for i in range(100)} == {0.3}
    with pytest.raises(ValueError, match="schedule is 'linear'"):
        training.learning_rate_at(0, 100, 0.3, schedule="linear")


@pytest.mark.parametrize("num_examples, batch_size", [(12, 4), (10, 4), (7, 3), (5, 5), (3, 8), (1, 1)])
def test_batches_use_every_example_equally_often(num_examples, batch_size):
    batches = [training.batch_at(i, num_examples, batch_size, seed=0) for i in range(num_examples)]
    assert all(batch.shape == (batch_size,) for batch in batches)
    assert torch.cat(batches).bincount().tolist() == [batch_size] * num_examples


def test_every_epoch_and_seed_has_its_own_order():
    epochs = [tuple(training.batch_at(i, 50, 50, seed).tolist()) for seed in (0, 1, 2) for i in range(5)]
    assert len(set(epochs)) == 15
    assert len({seed_at(step, seed) for seed in range(20) for step in range(-1, 500)}) == 20 * 501


# Reproducible

def test_the_same_seed_gives_the_same_run():
    first = trained()
    torch.manual_seed(99)  # what the caller does with the global generator is of no importance
    model = build()
    torch.manual_seed(98)
    assert_same_run(first, (model, train(model)))
    assert trained(seed=6)[1].losses != first[1].losses
    assert len(first[1].losses) == 24
    assert first[1].validation_steps == [5, 10, 15, 20, 24]


def test_the_callers_random_numbers_go_on():
    torch.manual_seed(3)
    expected = torch.rand(3)
    model = build()
    torch.manual_seed(3)
    train(model)
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


# Interrupt, kill, resume

@pytest.mark.parametrize("changes", [{}, {"ema": None}, {"validate": None}, {"ema": None, "validate": None}])
@pytest.mark.parametrize("at", [0, 4, 17, 22])
def test_a_resumed_run_ends_like_an_uninterrupted_one(folder, at, changes):
    whole = trained(**changes)
    first = train(build(), loss_fn=doing(interrupt, at), name="run", **changes)
    assert first.interrupted
    assert first.losses == whole[1].losses[:at + 1], "the step that was under way is finished"
    assert (folder / "run.resume").exists()
    model = build()
    with pytest.warns(UserWarning, match=f"holds {at + 1} steps.*resume=False"):
        second = train(model, name="run", **changes)
    assert second.resumed_at == at + 1
    assert not second.interrupted
    assert_same_run((model, second), whole)
    assert not list(folder.iterdir()), "the file is of no use any more"


def test_a_run_can_go_on_in_the_same_model_and_be_interrupted_again(folder):
    whole = trained()
    model = build()
    train(model, loss_fn=doing(interrupt, 6), name="run")
    for at in (3, 2):
        with pytest.warns(UserWarning, match="goes on from there"):
            assert train(model, loss_fn=doing(interrupt, at), name="run").interrupted
    with pytest.warns(UserWarning, match="holds 14 steps"):
        assert_same_run((model, train(model, name="run")), whole)


def test_a_killed_run_goes_on_from_its_file(folder):
    script = PROBLEM + """
import os, signal
from common.training import loop
loop.SECONDS_BETWEEN_SAVES = 0.0
calls = iter(range(100))
def killing(*args):
    if next(calls) == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss_fn(*args)
train(build(), loss_fn=killing, name="run")
"""
    result = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert result.returncode == -signal.SIGKILL
    assert [p.name for p in folder.iterdir()] == ["run.resume"]
    model = build()
    with pytest.warns(UserWarning, match="holds 11 steps"):
        history = train(model, name="run")
    assert_same_run((model, history), trained())


def test_a_crash_while_the_file_is_written_keeps_the_old_one(folder, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    replace, calls = os.replace, iter(range(100))

    def crash(*args):
        if next(calls) == 5:
            raise OSError("disk full")
        replace(*args)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        train(build(), name="run")
    assert [p.name for p in folder.iterdir()] == ["run.resume"]
    model = build()
    with pytest.warns(UserWarning, match="holds 5 steps"):
        assert_same_run((model, train(model, name="run")), trained())


def test_a_second_interrupt_stops_in_the_midst_of_a_step(folder):
    def twice():
        interrupt()
        interrupt()

    model = build()
    history = train(model, loss_fn=doing(twice, 7), name="run")
    assert history.interrupted
    assert len(history.losses) == 7
    assert not model.training


def test_the_signal_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    train(build(), loss_fn=doing(interrupt, 2))
    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_outside_the_main_thread():
    runs = []
    thread = threading.Thread(target=lambda: runs.append(trained()))
    thread.start()
    thread.join()
    assert_same_run(runs[0], trained())


@pytest.mark.parametrize("changes, sentence", [
    ({"learning_rate": 0.01}, r"another run \(learning_rate was 0.02, is 0.01\)"),
    ({"steps": 30, "ema": None}, r"another run \(ema was 0.8, is None, steps was 24, is 30\)"),
])
def test_a_file_of_another_run_is_not_used(changes, sentence):
    train(build(), loss_fn=doing(interrupt, 4), name="run")
    model = build()
    with pytest.warns(UserWarning, match=sentence):
        history = train(model, name="run", **changes)
    assert_same_run((model, history), trained(**changes))


def test_a_file_for_other_data_or_another_model_is_not_used():
    def run(data, model):
        arguments = {"steps": 9, "batch_size": 4, "learning_rate": 0.1, "name": "run", "progress": False}
        return training.fit(model, doing(interrupt, 4), data, **arguments)

    run((X, Y), build())
    with pytest.warns(UserWarning, match="data differs"):
        run((X + 1, Y), build())
    wider = nn.Sequential(nn.Flatten(), nn.Linear(20, 3))
    with pytest.warns(UserWarning, match="parameters differs"):
        run((X + 1, Y), wider)


def test_resume_false_starts_anew():
    train(build(), loss_fn=doing(interrupt, 4), name="run")
    model = build()
    assert_same_run((model, train(model, name="run", resume=False)), trained())


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_damaged_or_hostile_file_is_not_used(folder, tmp_path):
    train(build(), loss_fn=doing(interrupt, 4), name="run")
    path = folder / "run.resume"
    path.write_bytes(path.read_bytes()[:1000])
    model = build()
    with pytest.warns(UserWarning, match="can't be read.*starts anew"):
        assert_same_run((model, train(model, name="run")), trained())
    torch.save({"identity": Bomb()}, path)
    with pytest.warns(UserWarning, match="can't be read"):
        train(build(), name="run")
    assert not (tmp_path / "exploded").exists()


# Which weights stay

def test_the_best_validated_weights_stay():
    seen = []

    def worst_at_the_end(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        assert not model.training
        assert not torch.is_grad_enabled()
        return [3.0, 1.0, 2.0, 4.0, 5.0][len(seen) - 1]

    model, history = trained(validate=worst_at_the_end)
    assert history.best == 1.0
    assert not model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, seen[1][key]), key
    assert not torch.equal(seen[1]["0.weight"], seen[4]["0.weight"])


def test_interrupting_leaves_the_best_weights():
    best = {}

    def validate_once(model):
        if not best:
            best.update({k: v.clone() for k, v in model.state_dict().items()})
            return 1.0
        return 2.0

    model = build()
    train(model, loss_fn=doing(interrupt, 13), validate=validate_once)
    for key, value in model.state_dict().items():
        assert torch.equal(value, best[key]), key


def test_the_best_weights_outlive_an_interrupt():
    """The best value comes before the interrupt; the resumed run finds no better one and returns to it."""
    values, best = iter([2.0, 1.0, 3.0, 4.0, 5.0]), {}

    def scripted(model):
        value = next(values)
        if value == 1.0:
            best.update({k: v.clone() for k, v in model.state_dict().items()})
        return value

    train(build(), loss_fn=doing(interrupt, 11), validate=scripted, name="run")
    model = build()
    with pytest.warns(UserWarning, match="holds 12 steps"):
        history = train(model, validate=scripted, name="run")
    assert history.validation == [2.0, 1.0, 3.0, 4.0, 5.0]
    for key, value in model.state_dict().items():
        assert torch.equal(value, best[key]), key


def test_without_validation_the_average_stays():
    """The average follows its recursion over the weights after each step, which a second run without it shows."""
    weights = []

    def recording(model, *batch):
        weights.append(model[0].weight.detach().clone())
        return loss_fn(model, *batch)

    last, _ = trained(loss_fn=recording, ema=None, validate=None)
    weights.append(last[0].weight.detach())
    expected = weights[0].double()
    for t, weight in enumerate(weights[1:]):
        decay = min(0.8, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weight
    averaged, _ = trained(ema=0.8, validate=None)
    assert torch.allclose(averaged[0].weight.double(), expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(averaged[0].weight, last[0].weight, rtol=1e-3)


def test_validation_sees_the_average():
    """The weights at the last validation are those that a run without validation ends with."""
    seen = []

    def recording(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return 0.0

    trained(validate=recording)
    averaged, _ = trained(validate=None)
    for key, value in averaged.state_dict().items():
        assert torch.equal(seen[-1][key], value), key


def test_applying_an_average_gives_the_own_weights_back():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    average = Average(other, 0.9)
    before = model.weight.clone()
    with average.applied(model):
        assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.weight, before)
    with pytest.raises(ZeroDivisionError), average.applied(model):
        _ = 1 / 0
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("decay", [1.0, -0.1, 2])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"ema is .*\[0, 1\)"):
        train(build(), ema=decay)


# The optimiser

def test_clipping_bounds_the_gradient():
    def steep(model, x, y):
        return 1e4 * loss_fn(model, x, y)

    norms = {}
    for clip in (0.5, None):
        model, _ = trained(loss_fn=steep, clip=clip)
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


# Hardware

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


def test_precision_holds_for_the_loss_and_not_for_validation():
    kinds = set()

    def loss(model, x, y):
        kinds.add(("loss", model(x).dtype))
        return loss_fn(model, x, y)

    def value(model):
        kinds.add(("validate", model(X).dtype))
        return validate(model)

    model, history = trained(loss_fn=loss, validate=value, precision="bfloat16")
    assert kinds == {("loss", torch.bfloat16), ("validate", torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(math.isfinite(value) for value in history.losses)
    assert history.losses[-1] < history.losses[0]


def test_convolutions_are_channels_last_during_training_only():
    formats = set()

    def loss(model, x, y):
        formats.add(model[0].weight.is_contiguous(memory_format=torch.channels_last))
        return loss_fn(model, x, y)

    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(24, 3))
    training.fit(model, loss, (X.expand(-1, 2, -1, -1), Y), steps=2, batch_size=4, learning_rate=0.01, progress=False)
    assert formats == {True}
    assert model[0].weight.is_contiguous()


def test_the_gpu_is_taken_when_there_is_one(monkeypatch):
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert training.default_device().type == kind


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_on_a_gpu():
    first, second = trained(), trained()
    assert next(first[0].parameters()).is_cuda
    assert first[1].losses == second[1].losses
    assert first[1].losses[-1] < first[1].losses[0]


# What the user sees

def test_progress_shows_loss_floor_and_time_left(capsys):
    train(build(), progress=True, floor=0.25, name="e1_run")
    text = capsys.readouterr().out
    for part in ("e1_run", "24/24 steps", "loss ", "validation ", "floor 0.25", "00:00 left"):
        assert part in text


def test_progress_can_be_switched_off(capsys):
    train(build(), progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("value, at", [(float("nan"), 0), (float("inf"), 9)])
def test_a_loss_that_is_not_finite_stops_training(folder, value, at, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    calls = iter(range(100))

    def loss(*args):
        return loss_fn(*args) + (value if next(calls) == at else 0.0)

    model = build()
    with pytest.raises(training.TrainingError, match=f"The loss is {value} at step {at}. Try a smaller learning rate"):
        train(model, loss_fn=loss, name="run")
    assert not (folder / "run.resume").exists(), "the next call would go on from broken weights"
    assert not model.training


@pytest.mark.parametrize("loss, sentence", [
    (lambda m, x, y: m(x).sum(dim=1), r"one number.*returned \[8\]"),
    (lambda m, x, y: 0.5, "one number.*returned float"),
    (lambda m, x, y: m(x).detach().sum(), "does not depend on the model's parameters"),
])
def test_a_loss_of_the_wrong_kind_is_named(loss, sentence):
    with pytest.raises(training.TrainingError, match=sentence):
        train(build(), loss_fn=loss)


def test_a_validation_that_is_nan_is_an_error():
    with pytest.raises(training.TrainingError, match="validate returned NaN after step 5"):
        train(build(), validate=lambda model: float("nan"))


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
def test_wrong_arguments_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        train(build(), **change)


@pytest.mark.parametrize("data", [(), (X, Y[:-1]), X[:0], [1, 2], torch.tensor(1.0)])
def test_wrong_data_are_refused(data):
    with pytest.raises(ValueError, match="data"):
        training.fit(build(), loss_fn, data, steps=1, batch_size=1, learning_rate=0.1)
    with pytest.raises(ValueError, match="no parameters to train"):
        training.fit(nn.ReLU(), loss_fn, (X, Y), steps=1, batch_size=1, learning_rate=0.1)
