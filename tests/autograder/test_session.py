"""The session: values come back as they are, objects by reference, and broken cells cost only themselves."""

import pytest
import torch

from autograder.checking.verdicts import Outcome
from autograder.jail.inprocess import InProcessBackend
from autograder.session import CheckStopped, Session, Student, StudentError
from common.artifacts import save

LINEAR = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("shift", torch.full((width,), 2.0))
    def forward(self, x):
        return x * self.weight + self.shift
    def pair(self, x):
        return x, self(x)
def apply(fn, x):
    return fn(x)
def shape(x):
    return type(x).__name__
answer = 42
"""


COUNTER = """
class Counter:
    def __init__(self, n):
        self.n = n
    def __call__(self, x):
        self.n += 1
        return x
    def count(self):
        return self.n
"""


@pytest.fixture
def student():
    return Student(Session(InProcessBackend(), [("setup", LINEAR)], {}))


def test_objects_stay_and_values_return(student):
    model = student.Model(3)
    x = torch.arange(3.0)
    assert torch.equal(model(x), x + 2)
    assert torch.equal(student.apply(model.forward, x), x + 2)
    assert torch.equal(student.apply(model, x), x + 2)
    assert student.value("answer") == 42


def test_containers_keep_their_kind(student):
    assert [student.shape(value) for value in ((1, 2), [1, 2], {"a": 1}, torch.ones(1), True, 1.0)] == [
        "tuple", "list", "dict", "Tensor", "bool", "float"
    ]  # fmt: skip


def test_parameters_are_read_and_written_without_buffers(student):
    model = student.Model(2)
    assert list(student.parameters(model)) == ["weight"]
    student.set_parameters(model, {"weight": torch.tensor([5.0, 7.0])})
    assert model(torch.ones(2)).tolist() == [7.0, 9.0]
    assert set(student.state_dict(model)) == {"weight", "shift"}


def test_gradients_are_those_of_the_contraction(student):
    model, x, c = student.Model(3), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 10.0, 100.0])
    (gradient,) = student.gradient(model.forward, x, cotangent=c)
    assert torch.equal(gradient, c)
    (gradient,) = student.gradient(model.pair, x, cotangent=c, output=1)
    assert torch.equal(gradient, c)
    assert torch.equal(student.parameter_gradient(model, model.forward, x, cotangent=c)["weight"], c * x)


def test_optimizer_steps_move_the_parameters(student):
    model, x = student.Model(2), torch.tensor([1.0, -3.0])
    student.optimizer_steps(model, model.forward, x, steps=2, settings={"lr": 0.5})
    assert torch.allclose(student.parameters(model)["weight"], 1 - 2 * 0.5 * x)


def test_stubs_live_in_the_jail(student):
    scale = student.stub("def scale(x):\n    return x * factor\n", "scale", factor=torch.tensor(3.0))
    assert student.apply(scale, torch.ones(1)).item() == 3
    counter = student.stub(COUNTER, "Counter", n=5)
    student.apply(counter, torch.ones(1))
    assert counter.count() == 6


def test_refusal_is_told_by_type(student):
    assert not student.refuses(ValueError, student.Model, "three")
    assert student.refuses(TypeError, student.Model, "three")
    assert not student.refuses(TypeError, student.Model, 3)


@pytest.mark.parametrize(
    "cell, kind, line",
    [
        ("x = 1\ny = 1 / 0", "ZeroDivisionError", 2),
        ("def f(:\n  pass", "SyntaxError", 1),
        ("import nothing_like_it", "ModuleNotFoundError", 1),
        ("raise SystemExit", "SystemExit", 1),
    ],
)  # fmt: skip
def test_a_broken_cell_costs_only_itself(cell, kind, line):
    session = Session(InProcessBackend(), [("q1", cell), ("q2", "def g():\n    return 3\n")], {})
    student = Student(session)
    assert student.g() == 3
    assert session.broken == {"q1": f"the cell q1 stopped with {kind} at line {line}"}
    with pytest.raises(StudentError, match="NameError"):
        student.f()


def test_a_missing_answer_fails(student):
    with pytest.raises(CheckStopped, match="missing_answer has no answer") as stop:
        student.value("missing_answer")
    assert stop.value.outcome is Outcome.FAILED


def test_time_of_a_submission_is_bounded(student):
    student.value("answer")
    student._session.ends = 0
    with pytest.raises(CheckStopped) as stop:
        student.value("answer")
    assert stop.value.outcome is Outcome.TIMEOUT


def checkpoint_student(path):
    return Student(Session(InProcessBackend(), [("setup", LINEAR)], {"e1": path} if path else {}))


def trained(folder, width, name="Model"):
    """A checkpoint of the notebook's model, or of a class that the notebook lacks."""
    space = {}
    exec(LINEAR.replace("Model", name), space)
    return save("e1", space[name](width), {"width": width}, folder=folder)


def test_checkpoints_are_rebuilt_by_the_students_class(tmp_path):
    assert checkpoint_student(trained(tmp_path, 2)).checkpoint("e1")(torch.ones(2)).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("damage", ["missing", "pickle", "truncated", "empty", "other shape", "other class"])
def test_a_bad_checkpoint_fails_with_a_sentence(tmp_path, damage):
    path = trained(tmp_path, 2, name="Unheard" if damage == "other class" else "Model")
    if damage == "pickle":
        torch.save({"weight": torch.ones(2)}, path)
    if damage in ("truncated", "empty"):
        path.write_bytes(path.read_bytes()[:-3] if damage == "truncated" else b"")
    if damage == "other shape":
        path.write_bytes(path.read_bytes().replace(b'\\"width\\": 2', b'\\"width\\": 3'))
        assert b'3' in path.read_bytes()
    with pytest.raises(CheckStopped, match=r"e1\.safetensors") as stop:
        checkpoint_student(None if damage == "missing" else path).checkpoint("e1")
    assert stop.value.outcome is Outcome.FAILED
    assert str(tmp_path) not in str(stop.value)
