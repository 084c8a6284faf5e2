"""Layers of an image flow and the flow itself: patches, first batch, saved state, volumes on images that are not square."""

import math

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, require_tensor
from autograder.checking.maps import (
    applied,
    jacobians,
    log_volumes,
    require_round_trip,
    require_slopes,
    require_volume,
    same_log_det,
    value_of,
)
from autograder.checking.probes import randomize, reload, union
from autograder.checking.statistics import fresh_seed, standard_normal, two_stage


def images(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def patches(x: Tensor) -> Tensor:
    """The 4 C values of each 2 x 2 patch, sorted: (B, H/2, W/2, 4C)."""
    return x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(3).sort(-1).values


# ---------------------------------------------------------------------------------------------------- squeeze and masks


@weight(2)
@pytest.mark.parametrize("shape", [(2, 1, 4, 6), (3, 2, 6, 4), (2, 5, 2, 8)], ids=str)
def test_squeeze_keeps_patches_together(student, rng, shape):
    """squeeze puts the values of each 2 x 2 patch, all channels, at one position, in an order that is the same everywhere."""
    batch, channels, height, width = shape
    x = torch.randperm(math.prod(shape), generator=rng).double().reshape(shape)
    z = require_tensor(student.squeeze(x), (batch, 4 * channels, height // 2, width // 2), "float", "squeeze(x)")
    assert torch.equal(z.permute(0, 2, 3, 1).sort(-1).values, patches(x)), (
        "a position of the result holds values from outside its 2 x 2 patch: a bare view moves distant pixels together"
    )
    # A number that says where in its patch a value was must stand in the same channel at every position.
    place = (torch.arange(height)[:, None] % 2 * 2 + torch.arange(width) % 2) + 4.0 * torch.arange(channels)[:, None, None]
    order = require_tensor(student.squeeze(place[None]), (1, 4 * channels, *z.shape[2:]), "float", "squeeze(x)")
    assert torch.equal(order, order[:, :, :1, :1].expand_as(order)), "the order of channels differs from place to place"


@weight(2)
@pytest.mark.parametrize("shape", [(2, 1, 4, 6), (3, 2, 6, 4)], ids=str)
def test_unsqueeze_undoes_squeeze(student, rng, shape):
    """unsqueeze undoes squeeze, and squeeze undoes unsqueeze."""
    batch, channels, height, width = shape
    x = images(rng, *shape)
    z = require_tensor(student.squeeze(x), (batch, 4 * channels, height // 2, width // 2), "float", "squeeze(x)")
    assert close(require_tensor(student.unsqueeze(z), shape, "float", "unsqueeze(z)"), x, 0, 0), "unsqueeze(squeeze(x)) is not x"
    v = images(rng, batch, 4 * channels, width // 2, height // 2)
    there = require_tensor(student.unsqueeze(v), (batch, channels, width, height), "float", "unsqueeze(z)")
    assert close(student.squeeze(there), v, 0, 0), "squeeze(unsqueeze(z)) is not z"


@weight(1)
def test_odd_sizes_are_refused(student, rng):
    """Odd heights or widths, and channels that 4 does not divide, are refused with a ValueError."""
    good = images(rng, 1, 2, 2, 4)
    assert close(student.unsqueeze(student.squeeze(good)), good, 0, 0), "unsqueeze(squeeze(x)) is not x"
    assert student.squeeze(good).shape == (1, 8, 1, 2), "squeeze must return (B, 4C, H/2, W/2)"
    for shape in ((1, 4, 3, 4), (1, 4, 4, 5)):
        assert student.refuses(ValueError, student.squeeze, images(rng, *shape)), "squeeze must refuse odd heights and widths"
    assert student.refuses(ValueError, student.unsqueeze, images(rng, 1, 6, 2, 2)), "unsqueeze: 4 must divide the channels"


@weight(1)
@pytest.mark.parametrize("height, width", [(3, 5), (4, 2), (1, 7)])
def test_checkerboard(student, height, width):
    """Entry (row, col) of the checkerboard is (row + col + parity) mod 2."""
    row, col = torch.arange(height)[:, None], torch.arange(width)
    for parity in (0, 1):
        found = student.checkerboard_mask(height, width, parity)
        assert type(found) is Tensor and tuple(found.shape) == (height, width), "the mask must have shape (height, width)"
        assert torch.equal(found.double(), ((row + col + parity) % 2).double()), "entry (row, col) is (row + col + parity) mod 2"


# --------------------------------------------------------------------------------------------------------------- ActNorm


def batch_of(rng: torch.Generator, batch: int, channels: int, height: int, width: int, dtype=torch.float64) -> Tensor:
    """Images whose channels have means of 5 to 50 and standard deviations of 0.1 to 10."""
    mean = (5 + 45 * torch.rand(channels, 1, 1, generator=rng)) * (torch.randint(2, (channels, 1, 1), generator=rng) * 2 - 1)
    deviation = 10 ** (2 * torch.rand(channels, 1, 1, generator=rng) - 1)
    return (mean + deviation * torch.randn(batch, channels, height, width, generator=rng)).to(dtype)


def is_standard(z: Tensor) -> bool:
    """Mean 0 and variance 1 in each channel, over batch and pixels; a small constant under the root is forgiven."""
    mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3), correction=0)
    return bool((mean.abs() < 1e-2).all() and ((deviation - 1).abs() < 1e-2).all())


NOT_STANDARD = "the first batch in training mode does not leave with mean 0 and variance 1 in each channel"


@weight(3)
@pytest.mark.parametrize("channels, height, width", [(3, 4, 2), (2, 5, 7), (1, 3, 3)])
def test_actnorm_first_batch(student, rng, channels, height, width):
    """ActNorm: the first batch in training mode leaves with mean 0 and variance 1 in each channel."""
    x = batch_of(rng, 16, channels, height, width)
    assert is_standard(applied(student.ActNorm(channels).double(), x)[0]), NOT_STANDARD + ": y = (x - mean) / deviation"


@weight(3)
def test_actnorm_later_batches(student, rng):
    """ActNorm: later batches, eval mode and inverse never set anything; a fresh layer in eval mode is the identity."""
    norm = student.ActNorm(3).double()
    first, second = batch_of(rng, 12, 3, 4, 5), batch_of(rng, 12, 3, 4, 5)
    norm.eval()
    assert close(applied(norm, second)[0], second, 1e-6, 1e-6), "a fresh layer in eval mode is the identity"
    norm.train()
    applied(norm.inverse, second)
    z, log_det = applied(norm, first)
    assert is_standard(z), NOT_STANDARD + ", after a pass in eval mode or an inverse"
    later, volume = applied(norm, torch.cat([second, first]))
    assert not is_standard(later[:12]), "a later batch is normalised by its own statistics"
    assert close(later[12:], z, 1e-6, 1e-6), "a later batch changes the layer"
    assert close(volume, log_det[:1].expand(24), 1e-4, 1e-4), "log_det of the first batch is not that of the map it went through"
    norm.eval()
    assert close(applied(norm, first)[0], z, 1e-6, 1e-6), "eval mode gives another map"


@weight(3)
def test_actnorm_volume(student, rng):
    """ActNorm: log_det counts every pixel of every channel, and inverse undoes forward."""
    norm = student.ActNorm(3).double()
    assert is_standard(applied(norm, batch_of(rng, 12, 3, 4, 5))[0]), NOT_STANDARD
    for height, width in ((2, 3), (4, 1)):
        x = images(rng, 3, 3, height, width)
        log_det = require_volume(norm, x, "ActNorm", "ActNorm's log_det is not that of its Jacobian: how many pixels are scaled?")
        assert log_det.abs().min() > 1e-3, "the volume does not change"
        require_round_trip(norm, norm.inverse, x, "ActNorm", 1e-6)


@weight(2)
def test_actnorm_saves_its_start(student, rng):
    """ActNorm: a fresh layer that loads the saved state has started, and does not start again."""
    norm, fresh = student.ActNorm(3).double(), student.ActNorm(3).double()
    first, second = batch_of(rng, 12, 3, 4, 5), batch_of(rng, 12, 3, 4, 5)
    z, log_det = applied(norm, first)
    assert is_standard(z), NOT_STANDARD
    loaded = reload(student, norm, fresh)
    loaded.train()
    applied(loaded, second)
    again, volume = applied(loaded, first)
    assert close(again, z, 1e-6, 1e-6) and close(volume, log_det, 1e-4, 1e-4), (
        "after loading, the layer starts anew at the next batch, or has lost what it had set: is the flag a buffer?"
    )
    unstarted = reload(student, student.ActNorm(3).double(), student.ActNorm(3).double())
    assert is_standard(applied(unstarted, first)[0]), "a saved layer that had not started must start after loading"


@weight(1)
def test_actnorm_learns(student, rng):
    """ActNorm: scale and shift are trainable parameters, before and after the start, and their gradients are right."""
    norm, x = student.ActNorm(2).double(), batch_of(rng, 8, 2, 2, 3)
    weights = images(rng, 2, 2, 3)
    settings = {"lr": 1e-3}
    student.optimizer_steps(norm, norm.forward, x, output=0, cotangent=weights.expand(8, -1, -1, -1), steps=1, settings=settings)
    z = applied(norm, x)[0]
    moved = z.mean((0, 2, 3)).abs() + (z.std((0, 2, 3), correction=0) - 1).abs()
    assert moved.max() < 1, NOT_STANDARD + " (but for one small step of an optimiser)"
    assert moved.max() > 1e-4, "an optimiser that was made before the first batch can't move scale and shift"
    assert len(student.parameters(norm)) >= 2, "scale and shift must be parameters"
    require_slopes(student, norm, norm, images(rng, 5, 2, 2, 3), rng)


# ------------------------------------------------------------------------------------------------------ 1 x 1 convolution


def matrix_of(conv, channels: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The matrix that a convolution applies to channels, (C, C), from its values at unit vectors; fails if it mixes pixels."""
    x = torch.zeros(channels + 1, channels, 2, 3, dtype=dtype)
    x[torch.arange(channels), torch.arange(channels), 1, 2] = 1
    z = value_of(conv, x)
    z = z[:-1] - z[-1:]
    assert z.flatten(2)[:, :, :-1].abs().max() < 1e-6, "a 1 x 1 convolution must not carry a pixel to another one"
    return z[:, :, 1, 2].T


def build_conv(student, rng: torch.Generator, channels: int, sign: int = 0):
    """A convolution with random weights, of a matrix whose determinant has the wanted sign, if its kind has such ones."""
    for _ in range(8):
        conv = student.InvertibleConv1x1(channels).double()
        randomize(student, conv, rng)
        matrix = matrix_of(conv, channels)
        if sign * torch.linalg.det(matrix) >= 0:
            break
    off_diagonal = matrix - torch.diag(matrix.diagonal())
    assert off_diagonal.abs().max() > 1e-3, "the convolution does not mix channels"
    return conv, matrix


@weight(3)
@pytest.mark.parametrize("channels, sign", [(3, 1), (3, -1), (2, -1), (4, 1)])
def test_conv_volume(student, rng, channels, sign):
    """1x1 convolution: log_det is H W log|det| of its matrix, for determinants of either sign."""
    conv, matrix = build_conv(student, rng, channels, sign)
    x = images(rng, 4, channels, 3, 2)
    z, log_det = applied(conv, x, "the 1x1 convolution")
    expected = (6 * torch.linalg.slogdet(matrix).logabsdet).expand(4)
    assert same_log_det(log_det, expected, 6 * channels), "log_det is not the number of pixels times log|det| of the matrix"
    offset = value_of(conv, torch.zeros(1, channels, 3, 2, dtype=torch.float64))
    assert close(z - offset, torch.einsum("ij,bjhw->bihw", matrix, x), 1e-6, 1e-8), "all pixels must meet the same matrix"


@weight(3)
def test_conv_inverse(student, rng):
    """1x1 convolution: inverse undoes forward, with the opposite log_det."""
    for sign in (1, -1):
        conv, _ = build_conv(student, rng, 3, sign)
        require_round_trip(conv, conv.inverse, images(rng, 3, 3, 2, 5), "the 1x1 convolution", 1e-6)


@weight(1)
@pytest.mark.parametrize("size", [0.03, 30.0], ids=["tiny", "huge"])
def test_conv_of_tiny_determinant(student, rng, size):
    """1x1 convolution: in many channels log_det is right even where the determinant itself under- or overflows."""
    channels = 48
    conv = student.InvertibleConv1x1(channels)
    scaled = {name: size * p for name, p in randomize(student, conv, rng).items()}
    student.set_parameters(conv, scaled)
    matrix = matrix_of(conv, channels, torch.float32).double()
    assert (matrix - torch.diag(matrix.diagonal())).abs().max() > 1e-6, "the convolution does not mix channels"
    _, log_det = applied(conv, images(rng, 2, channels, 1, 2).float(), "the 1x1 convolution")
    expected = (2 * torch.linalg.slogdet(matrix).logabsdet).expand(2)
    assert close(log_det, expected.float(), 1e-2, 1.0), "log_det is wrong for a tiny or huge determinant: slogdet, or sums of logs"


@weight(1)
def test_conv_learns_and_saves(student, rng):
    """1x1 convolution: gradients are right for the matrix and the input, and a fresh layer that loads the state is the same."""
    conv, matrix = build_conv(student, rng, 3)
    require_slopes(student, conv, conv, images(rng, 4, 3, 2, 2), rng)
    assert close(matrix_of(reload(student, conv, student.InvertibleConv1x1(3).double()), 3), matrix, 1e-9, 1e-9), (
        "a fresh layer that loads the saved state has another matrix"
    )


# -------------------------------------------------------------------------------------------------------- the whole flow


def build_flow(student, rng: torch.Generator, shape: tuple[int, int, int], scales: int = 2, scale: float = 0.5, steps: int = 1):
    """A flow in float64 and eval mode with random weights."""
    flow = student.MultiscaleFlow(shape, 4, steps, scales).double()
    flow.eval()
    randomize(student, flow, rng, scale)
    return flow


def latent_shapes(shape: tuple[int, int, int], scales: int) -> list[tuple[int, int, int]]:
    """Shapes of the latents, finest first: half of the channels leave at each scale but the last."""
    channels, height, width = shape
    found = [(2 ** (i + 1) * channels, height // 2 ** (i + 1), width // 2 ** (i + 1)) for i in range(scales)]
    last = found[-1]
    return [*found[:-1], (2 * last[0], *last[1:])]


def latents_of(flow, x: Tensor, scales: int = 2) -> tuple[list[Tensor], Tensor]:
    """(latents, log_det) of forward(x), confirmed."""
    result = flow(x)
    assert type(result) in (tuple, list) and len(result) == 2, "forward must return latents and log_det"
    latents, log_det = result
    assert type(latents) in (tuple, list) and len(latents) == scales, "forward must return a list of num_scales latents"
    shapes = latent_shapes(tuple(x.shape[1:]), scales)
    latents = [require_tensor(z, (len(x), *shape), "float", "a latent") for z, shape in zip(latents, shapes)]
    return latents, require_tensor(log_det, x.shape[:1], "float", "log_det")


def flat(flow, scales: int = 2):
    """The flow as a map from images to vectors of all latents."""
    return lambda x: torch.cat([z.flatten(1) for z in latents_of(flow, x, scales)[0]], 1)


SHAPES = {"two scales": ((2, 8, 4), 2), "one scale": ((3, 2, 4), 1)}
VOLUME = "log_det is not that of the Jacobian of all latents: does every layer of every scale count, once, per example?"


@weight(4)
@pytest.mark.parametrize("shape, scales", SHAPES.values(), ids=SHAPES.keys())
def test_flow_volume(student, rng, shape, scales):
    """MultiscaleFlow: log_det is that of the Jacobian from image to all latents, for every example by itself."""
    flow, x = build_flow(student, rng, shape, scales), images(rng, 3, *shape)
    _, log_det = latents_of(flow, x, scales)
    assert log_det.std() > 1e-3, "log_det is the same for all images: couplings must change volumes"
    expected, smooth = log_volumes(flat(flow, scales), x)
    assert same_log_det(log_det[smooth], expected[smooth], math.prod(shape)), VOLUME


@weight(4)
@pytest.mark.parametrize("shape, scales", [((2, 4, 8), 2), ((1, 16, 8), 3)], ids=["two scales", "three scales"])
def test_flow_inverse(student, rng, shape, scales):
    """MultiscaleFlow: inverse undoes forward from all latents, with the opposite log_det, and forward undoes inverse."""
    flow, x = build_flow(student, rng, shape, scales), images(rng, 3, *shape)
    latents, log_det = latents_of(flow, x, scales)
    assert log_det.std() > 1e-3, "log_det is the same for all images: couplings must change volumes"
    back, opposite = flow.inverse(latents)
    assert close(back, x, 1e-6, 1e-6), "inverse(forward(x)) is not x"
    assert same_log_det(opposite, -log_det, math.prod(shape)), "log_det of inverse is that of the inverse map"
    drawn = [images(rng, *z.shape) for z in latents]
    again, _ = latents_of(flow, require_tensor(flow.inverse(drawn)[0], x.shape, "float", "inverse(latents)"), scales)
    assert all(close(a, b, 1e-5, 1e-5) for a, b in zip(again, drawn)), "forward(inverse(latents)) is not latents"


@weight(3)
@pytest.mark.parametrize("shape, scales", SHAPES.values(), ids=SHAPES.keys())
def test_flow_log_prob(student, rng, shape, scales):
    """MultiscaleFlow: log_prob counts every latent once under the standard normal, and adds the volume."""
    flow, x = build_flow(student, rng, shape, scales), images(rng, 5, *shape)
    latents, log_det = latents_of(flow, x, scales)
    assert log_det.std() > 1e-3, "log_det is the same for all images: couplings must change volumes"
    expected = log_det.double()
    for z in latents:
        expected = expected - 0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)
    found = require_tensor(flow.log_prob(x), (5,), "float", "log_prob(x)")
    assert close(found, expected, 1e-4, 1e-4 * math.prod(shape)), (
        "log_prob is not the sum over all latents of log N(z; 0, I), each once, plus log_det"
    )
    alone = require_tensor(flow.log_prob(x[:1]), (1,), "float", "log_prob of one image")
    assert close(alone, found[:1]), "an image's log_prob depends on the batch around it"


@weight(2)
def test_flow_mixes(student, rng):
    """MultiscaleFlow: the whole image reaches the latents: scale after scale, channels are mixed and pixels see others."""
    shape = (2, 4, 4)
    flow = student.MultiscaleFlow(shape, 8, 2).double()
    flow.eval()

    def probe() -> Tensor:
        randomize(student, flow, rng)
        found, _ = jacobians(flat(flow), images(rng, 2, *shape))
        return (found.abs() > 1e-7).any(0)

    must = torch.zeros(32, 32, dtype=torch.bool)
    must[16:] = True
    seen = union(probe, must, tries=4)
    fine, coarse = seen[:16], seen[16:]
    assert coarse.all(), "some pixel of a 4 x 4 image never reaches some coarse latent"
    assert fine.sum(1).min() > 8, "a fine latent hardly depends on anything: are channels mixed, do couplings see neighbours?"


@weight(1)
def test_flow_starts_and_saves(student, rng):
    """MultiscaleFlow: the first batch starts every ActNorm; the saved state in a fresh flow gives the same log_prob."""
    shape = (1, 4, 8)
    flow, fresh = (student.MultiscaleFlow(shape, 4, 1) for _ in range(2))
    first, x = batch_of(rng, 16, *shape, dtype=torch.float32), images(rng, 3, *shape).float()
    latents, _ = latents_of(flow, first)
    spread = torch.cat([z.flatten(1) for z in latents], 1).std(0)
    assert spread.max() < 5 and all(z.abs().mean() < 3 for z in latents), "the first batch does not start the ActNorms inside"
    again, _ = latents_of(flow, first)
    assert all(close(a, b, 1e-3, 1e-3) for a, b in zip(again, latents)), "a second pass of the same batch gives other latents"
    flow.eval()
    before = require_tensor(flow.log_prob(x), (3,), "float", "log_prob(x)")
    loaded = reload(student, flow, fresh)
    loaded.train()
    after = require_tensor(loaded.log_prob(x), (3,), "float", "log_prob(x)")
    assert before.std() > 1e-3, "log_prob is the same for all images"
    assert close(after, before, 1e-3, 1e-3), "the saved state in a fresh flow gives another log_prob, in training mode"


@weight(1)
def test_flow_learns(student, rng):
    """MultiscaleFlow: the gradient of log_prob is its slope, for all parameters and for the image."""
    shape = (1, 4, 4)
    flow, x = build_flow(student, rng, shape), images(rng, 3, *shape)
    score = student.stub("def score(x):\n    return x, flow.log_prob(x)", "score", flow=flow)
    require_slopes(student, flow, score, x, rng, shares=[1.0])


@weight(2)
def test_flow_samples(student, rng):
    """MultiscaleFlow: samples are standard normal latents of all scales, sent back; the generator alone decides them."""
    shape, n = (1, 4, 4), 400
    flow = student.MultiscaleFlow(shape, 4, 1).eval()
    randomize(student, flow, rng, 0.5)
    def draw(seed: int, count: int = n, **options) -> Tensor:
        found = flow.sample(count, generator=student.generator(seed), **options)
        return require_tensor(found, (count, *shape), "float", "sample(n)")

    def p_value(seed: int) -> float:
        latents, _ = latents_of(flow, draw(seed))
        return standard_normal(torch.cat([z.flatten(1) for z in latents], 1))

    assert latents_of(flow, images(rng, 9, *shape).float())[1].std() > 1e-3, "log_det is the same for all images"
    assert two_stage(p_value, rng), "samples, sent forward, are not standard normal in every latent"
    seed = fresh_seed(rng)
    first = draw(seed, 5)
    assert torch.equal(first, draw(seed, 5)), "two generators with the same seed give different images"
    assert not torch.equal(first, draw(fresh_seed(rng), 5)), "generators with different seeds give the same images"
    free = [require_tensor(flow.sample(2), (2, *shape), "float", "sample(n)") for _ in range(2)]
    assert not torch.equal(*free), "without a generator two draws are the same"
    cool = torch.cat([z.flatten(1) for z in latents_of(flow, draw(seed, 100, temperature=0.5))[0]], 1)
    assert 0.45 < cool.std() < 0.55, "temperature is the standard deviation of the latents"


@weight(1)
def test_flow_refuses(student, rng):
    """MultiscaleFlow: images that can't be squeezed so often are refused with a ValueError when the flow is built."""
    flow, x = build_flow(student, rng, (1, 4, 8)), images(rng, 4, 1, 4, 8)
    assert latents_of(flow, x)[1].std() > 1e-3, "log_det is the same for all images"
    for shape, scales in (((1, 6, 8), 2), ((1, 8, 6), 2), ((1, 4, 8), 3)):
        assert student.refuses(ValueError, student.MultiscaleFlow, shape, 4, 1, scales), "2^num_scales must divide H and W"
