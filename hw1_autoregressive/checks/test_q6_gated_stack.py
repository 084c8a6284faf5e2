"""Gated convolution in two stacks: what each stack sees, how it is gated, and how a condition enters.

The gate has an oracle of its own. For huge inputs tanh is -1 or 1 and the sigmoid 0 or 1, so tanh(a) sigmoid(b) takes the
values -1, 0 and 1 and no other, whatever the weights; with one channel, a 1x1 convolution after it makes three equally
spaced levels of them.
"""

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.probes import influence, randomize, raster_before, reload

HUGE = 1e14


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def make(student, rng: torch.Generator, channels: int, kernel_size: int, first: bool = False):
    """A layer in float64 with random weights."""
    layer = student.GatedMaskedConv(channels, kernel_size, first=first).double()
    randomize(student, layer, rng, scale=0.7)  # far from saturation, where an influence would vanish
    return layer


def apply(layer, v: Tensor, h: Tensor, *condition: Tensor) -> tuple[Tensor, Tensor]:
    """(v, h) of a layer, shapes confirmed."""
    found = layer(v, h, *condition)
    assert isinstance(found, (tuple, list)), "forward must return the pair (v, h)"
    assert len(found) == 2, "forward must return the pair (v, h)"
    return tuple(require_tensor(x, v.shape, "float", name) for x, name in zip(found, "vh", strict=True))


def pair_influence(layer, channels: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Which inputs move which outputs: bool (2, H, W, 2, H, W), stacks in the order v, h; True where every channel does."""

    def call(x: Tensor) -> Tensor:
        return torch.cat(apply(layer, x[:, :channels].contiguous(), x[:, channels:].contiguous()), dim=1)

    moved = influence(call, (2 * channels, height, width), rng)
    moved = moved.reshape(2, channels, height, width, 2, channels, height, width).movedim((1, 5), (0, 1)).flatten(0, 1)
    assert torch.equal(moved.all(0), moved.any(0)), "some channels of an output depend on other pixels than the rest do"
    return moved.all(0)


def windows(height: int, width: int, kernel_size: int, first: bool) -> tuple[Tensor, Tensor]:
    """What an output may see of its own stack: (vertical, horizontal), each bool (H, W, H, W)."""
    reach = kernel_size // 2
    rows, cols = torch.arange(height), torch.arange(width)
    up = (rows[:, None] - rows[None, :])[:, None, :, None]
    left = (cols[:, None] - cols[None, :])[None, :, None, :]
    vertical = (up >= int(first)) & (up <= reach) & (left.abs() <= reach)
    horizontal = (up == 0) & (left >= int(first)) & (left <= reach)
    return vertical, horizontal


def require_windows(layer, channels: int, kernel_size: int, first: bool, rng: torch.Generator) -> None:
    """Fail unless v and h depend on exactly what the definition allows."""
    height, width = kernel_size + 1, kernel_size + 2
    moved = pair_influence(layer, channels, height, width, rng)
    vertical, horizontal = windows(height, width, kernel_size, first)
    v_v, v_h, h_v, h_h = moved[0, :, :, 0], moved[0, :, :, 1], moved[1, :, :, 0], moved[1, :, :, 1]
    assert not v_h.any(), "the vertical stack depends on the horizontal one: the link goes from v to h alone"
    assert not (v_v & ~vertical).any(), "v sees positions outside its window: which rows may it see, and which columns?"
    assert not (vertical & ~v_v).any(), "v misses positions of its window: which rows and columns does it cover?"
    assert not (h_h & ~horizontal).any(), "h sees positions of its own stack that it may not see: later ones, or too far"
    assert not (horizontal & ~h_h).any(), "h misses earlier positions of its row"
    assert not (h_v & ~vertical).any(), "h is moved by inputs of v that v at its position does not see"
    assert not (vertical & ~h_v).any(), "h misses what v sees at its position: is the link between the stacks there?"


@weight(4)
@pytest.mark.parametrize("first", [True, False], ids=["first layer", "later layer"])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_windows_are_exact(student, rng, kernel_size, first):
    """Each stack sees exactly the rows and columns of its window, and h also what v sees at its position."""
    channels = 3 if kernel_size == 3 else 2
    require_windows(make(student, rng, channels, kernel_size, first), channels, kernel_size, first, rng)


@weight(2)
def test_no_blind_spot(student, rng):
    """A first layer and two more see every earlier pixel of a small image, and neither the pixel itself nor a later one."""
    channels, height, width = 2, 5, 6
    layers = [make(student, rng, channels, 5, first=i == 0) for i in range(3)]

    def call(x: Tensor) -> Tensor:
        v = h = x
        for layer in layers:
            v, h = apply(layer, v, h)
        return h

    moved = influence(call, (channels, height, width), rng, bases=2).any(3).any(0)
    earlier = raster_before(height, width)
    assert not (moved & ~earlier).any(), "h of a stack of layers is moved by the pixel itself or by a later one"
    assert not (earlier & ~moved).any(), "a stack of layers misses earlier pixels: is there a blind spot to the right?"


@weight(1)
@pytest.mark.parametrize("first", [True, False], ids=["first layer", "later layer"])
def test_training_steps_open_no_window(student, rng, first):
    """What is hidden stays hidden when an optimiser with momentum and weight decay changes the weights."""
    layer = make(student, rng, 2, 3, first)
    v, h = normal(rng, 3, 2, 4, 5), normal(rng, 3, 2, 4, 5)
    before, seen = apply(layer, v, h), pair_influence(layer, 2, 4, 5, rng)
    own_past = seen[0, :, :, 0], seen[1, :, :, 1]
    assert all(x.any() for x in own_past), "a stack does not see its own past"
    for output in (0, 1):
        settings = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1}
        student.optimizer_steps(layer, layer, v, h, output=output, cotangent=normal(rng, 3, 2, 4, 5), settings=settings)
    after, seen_after = apply(layer, v, h), pair_influence(layer, 2, 4, 5, rng)
    unchanged = [close(x, y, rtol=1e-7, atol=1e-7) for x, y in zip(after, before, strict=True)]
    assert not any(unchanged), "training steps leave an output as it was"
    assert not (seen_after & ~seen).any(), "a position that was hidden is seen after training steps"


def levels(values: Tensor) -> Tensor:
    """The distinct values, those nearer than 1e-6 counted once."""
    values = values.flatten().sort().values
    return values[torch.cat([torch.tensor([True]), values.diff() > 1e-6])]


def require_gated(results: list[Tensor], stack: str) -> None:
    """Fail unless saturated results take three equally spaced levels; a few weights may by chance hide one."""
    found = [levels(result) for result in results]
    assert all(len(level) <= 3 for level in found), (
        f"with huge inputs {stack} is not tanh(a) sigmoid(b), which then is -1, 0 or 1: is it gated, by both halves?"
    )
    full = [level.diff() for level in found if len(level) == 3]
    assert full, f"with huge inputs {stack} never takes the three levels of tanh(a) sigmoid(b): are a and b different halves?"
    assert all(close(step[0], step[1], rtol=1e-3) for step in full), f"the levels of {stack} are not those of a gate"


@weight(2)
def test_gate(student, rng):
    """Both stacks are gated: tanh of one half of the features times the sigmoid of the other."""
    vertical, horizontal = [], []
    for _ in range(3):
        layer = make(student, rng, 1, 7, first=True)
        v, h = apply(layer, HUGE * normal(rng, 6, 1, 8, 9), HUGE * normal(rng, 6, 1, 8, 9))
        vertical.append(v[:, :, 1:])  # the first row sees nothing, and the first column of h nothing of h
        horizontal.append(h[:, :, 1:, 1:])
    require_gated(vertical, "v")
    require_gated(horizontal, "h")


@weight(1)
def test_residual(student, rng):
    """A later layer adds its gated features to h, and to h alone."""
    layer, size = make(student, rng, 3, 5), 1e8
    v_in, h_in = size * normal(rng, 2, 3, 6, 7), size * normal(rng, 2, 3, 6, 7)
    v, h = apply(layer, v_in, h_in)
    assert (h - h_in).abs().max() < 1e-3 * size, "for large inputs h is not h_in plus something of bounded size"
    assert (h - h_in).std() > 1e-3, "nothing is added to h"
    assert v.abs().max() < 1e-3 * size, "for large inputs v is large: v has no residual connection, and is gated"


@weight(1)
@pytest.mark.parametrize("first", [True, False], ids=["first layer", "later layer"])
def test_condition_moves_its_own_image(student, rng, first):
    """A condition moves every position of both stacks of its own image, and of no other."""
    channels, batch = 3, 6  # the batch is as large as the two halves of the features: a wrong broadcast would fit
    layer = make(student, rng, channels, 3, first)
    v, h, condition = normal(rng, batch, 3, 3, 6), normal(rng, batch, 3, 3, 6), normal(rng, batch, channels)
    row, color = (int(torch.randint(n, (), generator=rng)) for n in (batch, channels))
    other = condition.clone()
    other[row, color] += 1.5
    for before, after, stack in zip(apply(layer, v, h, condition), apply(layer, v, h, other), "vh", strict=True):
        moved = ((after - before).abs() > 1e-9).flatten(1)
        assert moved[row].all(), f"the condition leaves positions or channels of {stack} as they were"
        moved[row] = False
        assert not moved.any(), f"the condition of one image moves {stack} of another"


@weight(1)
def test_images_are_separate(student, rng):
    """What a layer makes of an image does not depend on the rest of its batch."""
    layer = make(student, rng, 2, 3)
    inputs = normal(rng, 4, 2, 4, 5), normal(rng, 4, 2, 4, 5), normal(rng, 4, 2)
    for together, alone, x, stack in zip(apply(layer, *inputs), apply(layer, *(x[1:2] for x in inputs)), inputs, "vh"):
        assert not close(together, x), f"{stack} is what was put in"
        assert together.std(0).min() > 1e-6, f"{stack} is the same for all images"
        assert close(alone, together[1:2]), f"{stack} of an image changes with the other images of its batch"


@weight(2)
def test_condition_enters_both_gates(student, rng):
    """In both stacks a condition enters the tanh and the sigmoid."""
    layer = make(student, rng, 1, 5, first=True)
    condition, images = HUGE * normal(rng, 12, 1), normal(rng, 12, 1, 6, 7)
    for found, stack in zip(apply(layer, images, images.flip(0), condition), "vh", strict=True):
        count = len(levels(found))
        assert count > 1, f"a huge condition does not move {stack}"
        assert count <= 3, (
            f"a huge condition does not decide the gates of {stack}: it must enter both halves of the features of this "
            "stack (van den Oord 2016, 1606.05328, section 2.3)"
        )


@weight(1)
def test_saved_weights(student, rng):
    """A fresh layer with the saved weights of another gives the same outputs, and so does a second call."""
    layer = make(student, rng, 3, 3)
    fresh = reload(student, layer, make(student, rng, 3, 3))
    inputs = normal(rng, 2, 3, 5, 6), normal(rng, 2, 3, 5, 6), normal(rng, 2, 3)
    first, again, loaded = apply(layer, *inputs), apply(layer, *inputs), apply(fresh, *inputs)
    other = apply(make(student, rng, 3, 3), *inputs)
    for i, stack in enumerate("vh"):
        assert first[i].std() > 1e-6, f"{stack} is the same everywhere"
        assert not close(other[i], first[i]), f"the weights have no influence on {stack}"
        assert close(again[i], first[i], rtol=1e-9, atol=1e-9), f"a second call gives another {stack}"
        assert close(loaded[i], first[i], rtol=1e-9, atol=1e-9), (
            f"a layer with the saved weights gives another {stack}: is every part of it registered with the module?"
        )


@weight(1)
def test_gradients(student, rng):
    """Gradients of h with respect to both stacks are those of the function."""
    layer = make(student, rng, 2, 3)
    inputs = [normal(rng, 2, 2, 5, 4), normal(rng, 2, 2, 5, 4)]
    cotangent, step = normal(rng, 2, 2, 5, 4), 1e-4
    found = student.gradient(layer, *inputs, wrt=(0, 1), cotangent=cotangent, output=1)
    for place, stack in enumerate("vh"):
        direction = normal(rng, 2, 2, 5, 4)
        moved = [[x + sign * step * direction * (i == place) for i, x in enumerate(inputs)] for sign in (1, -1)]
        up, down = (apply(layer, *pair)[1] for pair in moved)
        slope = ((up - down) * cotangent).sum() / (2 * step)
        assert found[place].abs().max() > 1e-6, f"h passes no gradient to {stack}"
        assert close((found[place] * direction).sum(), slope, rtol=1e-4, atol=1e-4), (
            f"the gradient of h with respect to {stack} is not the slope of the function: is something detached?"
        )


@weight(0.5)
def test_refuses_bad_kernels(student, rng):
    """Kernels that are even, or smaller than 3, are refused with a ValueError."""
    inputs = normal(rng, 2, 2, 3, 4), normal(rng, 2, 2, 3, 4)
    found = apply(make(student, rng, 2, 3), *inputs)
    assert all(not close(out, x) and out.std() > 1e-6 for out, x in zip(found, inputs, strict=True)), (
        "a layer with a good kernel does nothing"
    )
    for kernel_size in (2, 4, 1):
        assert student.refuses(ValueError, student.GatedMaskedConv, 2, kernel_size), (
            "a kernel that is even or smaller than 3 is accepted"
        )
