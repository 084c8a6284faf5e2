"""Masked convolution: an output's dependencies are exactly what the definition allows, whatever the weights."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.probes import influence, randomize, reload

TOO_MUCH = "an output is moved by a pixel that comes after it (or by its own, type A)"
TOO_LITTLE = "some earlier pixels have no influence: which rows, and which columns of the centre row, stay?"


def window(channels: tuple[int, int], size: tuple[int, int], kernel: int, mask_type: str, num_colors: int = 1) -> Tensor:
    """What the definition allows: bool (out, H, W, in, H, W)."""
    (inputs, outputs), (height, width), radius = channels, size, kernel // 2
    color_in = torch.arange(inputs) // (inputs // num_colors)
    color_out = torch.arange(outputs) // (outputs // num_colors)
    row, col = torch.arange(height), torch.arange(width)
    down = (row[None, :] - row[:, None])[:, None, :, None]                               # (H, 1, H, 1): input minus output
    right = (col[None, :] - col[:, None])[None, :, None, :]
    near = (down.abs() <= radius) & (right.abs() <= radius)
    earlier = near & ((down < 0) | ((down == 0) & (right < 0)))
    centre = (down == 0) & (right == 0)
    before = color_in[None] < color_out[:, None] if mask_type == "A" else color_in[None] <= color_out[:, None]
    return earlier[None, :, :, None] | (centre[None, :, :, None] & before[:, None, None, :, None, None])


def probe(conv, channels: tuple[int, int], size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Which inputs move which outputs: bool (out, H, W, in, H, W), for the weights that the module has."""
    def call(x: Tensor) -> Tensor:
        return require_tensor(conv(x), (len(x), channels[1], *size), "float", "the output")

    return influence(call, (channels[0], *size), rng)


def require_exact(seen: Tensor, may: Tensor, when: str = "") -> None:
    """Fail unless the dependencies are those that the definition allows."""
    assert not (seen & ~may).any(), when + TOO_MUCH
    assert not (may & ~seen).any(), when + TOO_LITTLE


@weight(3)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("kernel, size", [(5, (6, 7)), (3, (5, 3)), (7, (4, 9))])
def test_dependencies_are_exact(student, rng, mask_type, kernel, size):
    """An output depends on every earlier pixel in its window, and on no other."""
    conv = student.MaskedConv2d(1, 1, kernel, mask_type).double()
    randomize(student, conv, rng)
    require_exact(probe(conv, (1, 1), size, rng), window((1, 1), size, kernel, mask_type))


@weight(1)
def test_kernels_of_one_pixel(student, rng):
    """A 1 x 1 kernel mixes the channels of a pixel in the order of the colours, and nothing else."""
    for mask_type, channels, num_colors in (("A", (1, 1), 1), ("B", (1, 1), 1), ("A", (3, 6), 3), ("B", (6, 3), 3)):
        conv = student.MaskedConv2d(*channels, 1, mask_type, num_colors).double()
        randomize(student, conv, rng)
        require_exact(probe(conv, channels, (2, 3), rng), window(channels, (2, 3), 1, mask_type, num_colors))


@weight(1)
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_many_channels_of_one_colour(student, rng, mask_type):
    """Without colour groups all channels follow the one rule."""
    conv = student.MaskedConv2d(2, 3, 3, mask_type).double()
    randomize(student, conv, rng)
    require_exact(probe(conv, (2, 3), (3, 4), rng), window((2, 3), (3, 4), 3, mask_type))


@weight(4)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("channels, num_colors", [((3, 3), 3), ((6, 9), 3), ((6, 3), 3), ((4, 2), 2)])
def test_colours_at_the_centre(student, rng, mask_type, channels, num_colors):
    """At the centre, colour c sees colours < c (A) or <= c (B), whatever the sizes of the groups."""
    conv = student.MaskedConv2d(*channels, 3, mask_type, num_colors).double()
    randomize(student, conv, rng)
    size = (2, 3)
    seen, may = probe(conv, channels, size, rng), window(channels, size, 3, mask_type, num_colors)
    at_centre = torch.eye(6, dtype=torch.bool).reshape(1, *size, 1, *size)
    assert not (seen & ~may & at_centre).any(), "an output sees a colour at its own pixel that is not drawn yet"
    assert not (may & ~seen & at_centre).any(), "an output misses earlier colours of its own pixel: groups are R..G..B"
    assert torch.equal(seen, may), "away from the centre every colour sees all colours of earlier pixels, and no other"


@weight(3)
@pytest.mark.parametrize("mask_type, name", [("A", "sgd"), ("B", "adamw")])
def test_holds_after_training_steps(student, rng, mask_type, name):
    """The mask still holds after an optimiser with momentum and weight decay has changed the weights."""
    conv = student.MaskedConv2d(3, 6, 3, mask_type, 3).double()
    x = torch.randn(5, 3, 4, 3, generator=rng, dtype=torch.float64)
    before = conv(x) - conv(torch.zeros_like(x))
    pull = torch.randn(5, 6, 4, 3, generator=rng, dtype=torch.float64)
    settings = {"lr": 0.1, "weight_decay": 0.1} | ({"momentum": 0.9} if name == "sgd" else {})
    student.optimizer_steps(conv, conv, x, cotangent=pull, name=name, settings=settings)
    after = conv(x) - conv(torch.zeros_like(x))
    assert not close(after, before, 1e-3, 1e-3), "training steps leave the kernel: does the gradient reach it?"
    seen = probe(conv.eval(), (3, 6), (4, 3), rng)
    require_exact(seen, window((3, 6), (4, 3), 3, mask_type, 3), "after training steps ")


@weight(1)
def test_survives_saving(student, rng):
    """A fresh layer that loads the saved weights is the same layer, and has the same mask."""
    conv, fresh = (student.MaskedConv2d(4, 2, 5, "B", 2).double() for _ in range(2))
    randomize(student, conv, rng)
    reload(student, conv, fresh)
    x = torch.randn(3, 4, 5, 7, generator=rng, dtype=torch.float64)
    assert close(fresh(x), require_tensor(conv(x), (3, 2, 5, 7), "float", "the output")), "loaded weights act differently"
    require_exact(probe(fresh, (4, 2), (3, 4), rng), window((4, 2), (3, 4), 5, "B", 2), "after loading ")


@weight(2)
@pytest.mark.parametrize("mask_type, kernel, num_colors", [("A", 5, 3), ("B", 3, 1), ("B", 3, 3)])
def test_is_a_convolution(student, rng, mask_type, kernel, num_colors):
    """The output is the convolution of the input, zero outside, with the weights that the mask leaves, plus the bias."""
    conv = student.MaskedConv2d(3, 6, kernel, mask_type, num_colors).double()
    parameters = randomize(student, conv, rng)
    height, width = 2 * kernel - 1, 2 * kernel
    x = torch.randn(4, 3, height, width, generator=rng, dtype=torch.float64)
    single = torch.zeros(1, 3, height, width, dtype=torch.float64)
    found = require_tensor(conv(x), (4, 6, height, width), "float", "the output")
    offset = require_tensor(conv(single), (1, 6, height, width), "float", "the output")
    assert close(offset, offset[:, :, :1, :1].expand_as(offset)), "an image of zeros must give the bias alone, everywhere"
    kernels = impulse_response(conv, kernel, offset[0, :, 0, 0])
    kept = kernels.abs() > 1e-12
    assert kept.any(), "the input changes nothing"
    assert not kept.all(), "the kernel is not masked"
    assert close(found, F.conv2d(x, kernels, offset[0, :, 0, 0], padding=kernel // 2), 1e-6, 1e-8), (
        "the output is not linear in the input, or not the same kernel at every position, edges included"
    )
    for p in parameters.values():
        assert p.shape != kernels.shape or close(kernels[kept], p[kept], 1e-6, 1e-8), (
            "the weights that the mask leaves are changed"
        )
    pull = torch.randn(found.shape, generator=rng, dtype=torch.float64)
    expected = torch.nn.grad.conv2d_weight(x, kernels.shape, pull, padding=kernel // 2)[kept]
    for gradient in student.parameter_gradient(conv, conv, x, cotangent=pull).values():
        assert gradient.shape != kernels.shape or close(gradient[kept], expected, 1e-6, 1e-8), (
            "the gradient of the weights that the mask leaves is wrong"
        )
    for p in parameters.values():
        assert p.shape != (6,) or close(offset[0, :, 0, 0], p, 1e-6, 1e-8), "the bias is lost or changed"


def impulse_response(conv, kernel: int, offset: Tensor) -> Tensor:
    """The kernel (out, in, k, k) that acts, read off the answers to one lit pixel in the middle."""
    side = 2 * kernel - 1
    images = torch.zeros(3, 3, side, side, dtype=torch.float64)
    images[range(3), range(3), kernel - 1, kernel - 1] = 1
    response = conv(images) - offset[:, None, None]                                       # (in, out, side, side)
    near = slice(kernel - 1 - kernel // 2, kernel + kernel // 2)
    return response[:, :, near, near].flip(2, 3).transpose(0, 1).contiguous()


@weight(2)
@pytest.mark.parametrize(
    "bad, good",
    [((1, 1, 4, "A"), (1, 1, 3, "A")), ((1, 1, 2, "B"), (1, 1, 3, "B")), ((1, 1, 3, "C"), (1, 1, 3, "B")),
     ((4, 6, 3, "A", 3), (3, 6, 3, "A", 3)), ((6, 4, 3, "B", 3), (6, 3, 3, "B", 3))],
    ids=["even kernel A", "even kernel B", "unknown mask type", "input channels", "output channels"],
)  # fmt: skip
def test_rejects_bad_arguments(student, bad, good):
    """Even kernels, unknown mask types and indivisible channels are refused with a ValueError."""
    found = student.MaskedConv2d(*good)(torch.ones(2, good[0], 3, 4))
    require_tensor(found, (2, good[1], 3, 4), "float", "the output")
    assert student.refuses(ValueError, student.MaskedConv2d, *bad), (
        "a kernel without a centre, an unknown mask type, or channels that num_colors does not divide must raise ValueError"
    )
