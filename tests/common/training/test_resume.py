"""Interrupted or killed, a run that is resumed ends like one that was not."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from common import training
from common.training import loop

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("changes", [{}, {"ema": None}, {"validate": None}, {"ema": None, "validate": None}])
@pytest.mark.parametrize("at", [0, 4, 17, 22])
def test_a_resumed_run_ends_like_an_uninterrupted_one(problem, folder, at, changes):
    whole = problem.trained(**changes)
    first = problem.train(problem.build(), loss_fn=problem.doing(problem.interrupt, at), name="run", **changes)
    assert first.interrupted
    assert first.losses == whole[1].losses[:at + 1], "the step that was under way is finished"
    assert (folder / "run.resume").exists()
    model = problem.build()
    with pytest.warns(UserWarning, match=f"holds {at + 1} steps.*resume=False"):
        second = problem.train(model, name="run", **changes)
    assert second.resumed_at == at + 1
    assert not second.interrupted
    problem.assert_same_run((model, second), whole)
    assert not list(folder.iterdir()), "the file is of no use any more"


def test_a_run_can_go_on_in_the_same_model_and_be_interrupted_again(problem, folder):
    whole = problem.trained()
    model = problem.build()
    problem.train(model, loss_fn=problem.doing(problem.interrupt, 6), name="run")
    for at in (3, 2):
        with pytest.warns(UserWarning, match="goes on from there"):
            assert problem.train(model, loss_fn=problem.doing(problem.interrupt, at), name="run").interrupted
    with pytest.warns(UserWarning, match="holds 14 steps"):
        problem.assert_same_run((model, problem.train(model, name="run")), whole)


def test_a_killed_run_goes_on_from_its_file(problem, folder):
    script = problem.PROBLEM + """
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
    model = problem.build()
    with pytest.warns(UserWarning, match="holds 11 steps"):
        history = problem.train(model, name="run")
    problem.assert_same_run((model, history), problem.trained())


def test_a_crash_while_the_file_is_written_keeps_the_old_one(problem, folder, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    replace, calls = os.replace, iter(range(100))

    def crash(*args):
        if next(calls) == 5:
            raise OSError("disk full")
        replace(*args)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        problem.train(problem.build(), name="run")
    assert [p.name for p in folder.iterdir()] == ["run.resume"]
    model = problem.build()
    with pytest.warns(UserWarning, match="holds 5 steps"):
        problem.assert_same_run((model, problem.train(model, name="run")), problem.trained())


def test_a_second_interrupt_stops_in_the_midst_of_a_step(problem, folder):
    def twice():
        problem.interrupt()
        problem.interrupt()

    model = problem.build()
    history = problem.train(model, loss_fn=problem.doing(twice, 7), name="run")
    assert history.interrupted
    assert len(history.losses) == 7
    assert not model.training


def test_an_interrupt_before_the_first_step_waits_for_the_set_up(problem, monkeypatch):
    """torch imports much for its first optimiser; half an import would break the session."""
    adamw = torch.optim.AdamW

    def slow(*args):
        problem.interrupt()
        return adamw(*args)

    monkeypatch.setattr(torch.optim, "AdamW", slow)
    model = problem.build()
    history = problem.train(model, ema=None)
    assert history.interrupted
    assert history.losses == []
    monkeypatch.undo()
    problem.assert_same_run((model, problem.train(model)), problem.trained())


def test_the_signal_handler_is_put_back(problem):
    before = signal.getsignal(signal.SIGINT)
    problem.train(problem.build(), loss_fn=problem.doing(problem.interrupt, 2))
    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_outside_the_main_thread(problem):
    runs = []
    thread = threading.Thread(target=lambda: runs.append(problem.trained()))
    thread.start()
    thread.join()
    problem.assert_same_run(runs[0], problem.trained())


@pytest.mark.parametrize("changes, sentence", [
    ({"learning_rate": 0.01}, r"another run \(learning_rate was 0.02, is 0.01\)"),
    ({"steps": 30, "ema": None}, r"another run \(ema was 0.8, is None, steps was 24, is 30\)"),
])
def test_a_file_of_another_run_is_not_used(problem, changes, sentence):
    problem.train(problem.build(), loss_fn=problem.doing(problem.interrupt, 4), name="run")
    model = problem.build()
    with pytest.warns(UserWarning, match=sentence):
        history = problem.train(model, name="run", **changes)
    problem.assert_same_run((model, history), problem.trained(**changes))


def test_a_file_for_other_data_or_another_model_is_not_used(problem):
    def run(data, model):
        arguments = {"steps": 9, "batch_size": 4, "learning_rate": 0.1, "name": "run", "progress": False}
        return training.fit(model, problem.doing(problem.interrupt, 4), data, **arguments)

    run((problem.X, problem.Y), problem.build())
    with pytest.warns(UserWarning, match="data differs"):
        run((problem.X + 1, problem.Y), problem.build())
    wider = nn.Sequential(nn.Flatten(), nn.Linear(20, 3))
    with pytest.warns(UserWarning, match="parameters differs"):
        run((problem.X + 1, problem.Y), wider)


def test_resume_false_starts_anew(problem):
    problem.train(problem.build(), loss_fn=problem.doing(problem.interrupt, 4), name="run")
    model = problem.build()
    problem.assert_same_run((model, problem.train(model, name="run", resume=False)), problem.trained())


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_damaged_or_hostile_file_is_not_used(problem, folder, tmp_path):
    problem.train(problem.build(), loss_fn=problem.doing(problem.interrupt, 4), name="run")
    path = folder / "run.resume"
    path.write_bytes(path.read_bytes()[:1000])
    model = problem.build()
    with pytest.warns(UserWarning, match="can't be read.*starts anew"):
        problem.assert_same_run((model, problem.train(model, name="run")), problem.trained())
    torch.save({"identity": Bomb()}, path)
    with pytest.warns(UserWarning, match="can't be read"):
        problem.train(problem.build(), name="run")
    assert not (tmp_path / "exploded").exists()
