"""Which weights stay in the model: the best validated, else the average."""

import pytest
import torch
from torch import nn

from common.training.averaging import Average


def test_the_best_validated_weights_stay(problem):
    seen = []

    def worst_at_the_end(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        assert not model.training
        assert not torch.is_grad_enabled()
        return [3.0, 1.0, 2.0, 4.0, 5.0][len(seen) - 1]

    model, history = problem.trained(validate=worst_at_the_end)
    assert history.best == 1.0
    assert not model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, seen[1][key]), key
    assert not torch.equal(seen[1]["0.weight"], seen[4]["0.weight"])


def test_interrupting_leaves_the_best_weights(problem):
    best = {}

    def validate_once(model):
        if not best:
            best.update({k: v.clone() for k, v in model.state_dict().items()})
            return 1.0
        return 2.0

    model = problem.build()
    problem.train(model, loss_fn=problem.doing(problem.interrupt, 13), validate=validate_once)
    for key, value in model.state_dict().items():
        assert torch.equal(value, best[key]), key


def test_the_best_weights_outlive_an_interrupt(problem):
    """The best value comes before the problem.interrupt; the resumed run finds no better one and returns to it."""
    values, best = iter([2.0, 1.0, 3.0, 4.0, 5.0]), {}

    def scripted(model):
        value = next(values)
        if value == 1.0:
            best.update({k: v.clone() for k, v in model.state_dict().items()})
        return value

    problem.train(problem.build(), loss_fn=problem.doing(problem.interrupt, 11), validate=scripted, name="run")
    model = problem.build()
    with pytest.warns(UserWarning, match="holds 12 steps"):
        history = problem.train(model, validate=scripted, name="run")
    assert history.validation == [2.0, 1.0, 3.0, 4.0, 5.0]
    for key, value in model.state_dict().items():
        assert torch.equal(value, best[key]), key


def test_without_validation_the_average_stays(problem):
    """The average follows its recursion over the weights after each step, which a second run without it shows."""
    weights = []

    def recording(model, *batch):
        weights.append(model[0].weight.detach().clone())
        return problem.loss_fn(model, *batch)

    last, _ = problem.trained(loss_fn=recording, ema=None, validate=None)
    weights.append(last[0].weight.detach())
    expected = weights[0].double()
    for t, weight in enumerate(weights[1:]):
        decay = min(0.8, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weight
    averaged, _ = problem.trained(ema=0.8, validate=None)
    assert torch.allclose(averaged[0].weight.double(), expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(averaged[0].weight, last[0].weight, rtol=1e-3)


def test_validation_sees_the_average(problem):
    """The weights at the last validation are those that a run without validation ends with."""
    seen = []

    def recording(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return 0.0

    problem.trained(validate=recording)
    averaged, _ = problem.trained(validate=None)
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
def test_a_decay_outside_its_range_is_refused(problem, decay):
    with pytest.raises(ValueError, match=r"ema is .*\[0, 1\)"):
        problem.train(problem.build(), ema=decay)
