"""PixelCNN: the whole network keeps the order of pixels and colours, likelihoods sum to 1, samples fit them."""

import pytest
import torch
from torch import Tensor

from autograder.checking import weight
from autograder.checking.compare import close, is_tensor, require_levels, require_tensor
from autograder.checking.probes import influence, randomize, randomize_best, raster_before, reload, slopes, union
from autograder.checking.statistics import (
    all_configurations,
    chain_log_prob,
    encode,
    frequencies_match,
    fresh_seed,
    weakest_link,
)

LEAK = "a logit is moved by a pixel that comes after it, by its own level, or by a later colour of its pixel"
LOST = (
    "some logits are not moved by an earlier pixel close by, or by an earlier colour of their pixel: "
    "type A belongs in the first layer only"
)


def allowed(image_shape: tuple[int, int, int]) -> Tensor:
    """The order of the model: bool (C, H, W, C, H, W), True where the second value comes before the first."""
    colors, height, width = image_shape
    pixel = raster_before(height, width)[None, :, :, None]
    same = torch.eye(height * width, dtype=torch.bool).reshape(1, height, width, 1, height, width)
    color = (torch.arange(colors)[None] < torch.arange(colors)[:, None])[:, None, None, :, None, None]
    return pixel | (same & color)


def neighbours(image_shape: tuple[int, int, int]) -> Tensor:
    """The pixels that touch a pixel, and itself: bool (1, H, W, 1, H, W)."""
    _, height, width = image_shape
    row, col = torch.arange(height), torch.arange(width)
    near = ((row[None] - row[:, None]).abs() <= 1)[:, None, :, None] & ((col[None] - col[:, None]).abs() <= 1)[None, :, None]
    return near[None, :, :, None]


def logits_influence(model, image_shape: tuple[int, int, int], num_levels: int, rng: torch.Generator) -> Tensor:
    """Which value moves the logits of which value: bool (C, H, W, C, H, W)."""
    def call(x: Tensor) -> Tensor:
        return require_tensor(model.logits(x), (len(x), num_levels, *image_shape), "float", "logits(x)")

    return influence(call, image_shape, rng, levels=num_levels, bases=3).any(0)


def require_order(student, model, image_shape, num_levels: int, rng: torch.Generator, must: Tensor | None = None) -> None:
    """Fail unless, under random weights, no logit sees what comes later, and each sees all it must (default: all before)."""
    def probe() -> Tensor:
        randomize(student, model, rng)
        return logits_influence(model, image_shape, num_levels, rng)

    may = allowed(image_shape)
    must = may if must is None else may & must
    seen = union(probe, must)
    assert not (seen & ~may).any(), LEAK
    assert not (must & ~seen).any(), LOST


@weight(3)
@pytest.mark.parametrize(
    "image_shape, num_levels, hidden, num_layers",
    [((3, 3, 2), 5, 24, 2), ((1, 4, 2), 3, 16, 4), ((1, 2, 2), 2, 16, 1)],
    ids=["colour", "deep", "shallow"],
)
def test_dependencies_are_exact(student, rng, image_shape, num_levels, hidden, num_layers):
    """On a small image every logit depends on all earlier pixels and colours, and on nothing else."""
    model = student.PixelCNN(image_shape, num_levels, hidden, num_layers).eval()
    require_order(student, model, image_shape, num_levels, rng)


@weight(1)
def test_causal_on_wide_images(student, rng):
    """On a larger image no logit depends on what comes later, and each depends on its earlier neighbours."""
    shape = (2, 4, 6)
    model = student.PixelCNN(shape, 3, 16, 2).eval()
    require_order(student, model, shape, 3, rng, must=neighbours(shape))


@weight(1)
def test_holds_after_training_steps(student, rng):
    """The order still holds after an optimiser has changed the weights, and after saving and loading."""
    shape = (3, 2, 2)
    model, fresh = (student.PixelCNN(shape, 4, 12, 1).eval() for _ in range(2))
    randomize(student, model, rng)
    x = torch.randint(4, (8, *shape), generator=rng)
    before = require_tensor(model.log_prob(x), (8,), "float", "log_prob(x)")
    settings = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1}
    student.optimizer_steps(model, model.log_prob, x, cotangent=-torch.ones(8), settings=settings)
    after = require_tensor(model.log_prob(x), (8,), "float", "log_prob(x)")
    assert not close(after, before), "training steps on log_prob change nothing"
    numerical, reported, norm = slopes(student, model, model.log_prob, x, rng=rng)
    assert norm > 0, "the gradient of log_prob does not reach the weights"
    assert abs(numerical - reported) < 0.05 * norm, "the gradient of log_prob is not its slope: is a weight detached?"
    assert close(reload(student, model, fresh).log_prob(x), after), "a fresh model that loads the weights acts differently"
    seen, may = logits_influence(fresh, shape, 4, rng), allowed(shape)
    assert not (seen & ~may).any(), "after training steps " + LEAK
    assert (seen & may).any(), "after training steps the logits depend on nothing"


def table(model, image_shape, num_levels: int, label: int | None = None) -> tuple[Tensor, Tensor]:
    """All images (M, C, H, W) and the model's logits for them (M, K, C, H, W), under one label or none."""
    x = all_configurations(torch.Size(image_shape).numel(), num_levels).reshape(-1, *image_shape)
    labels = () if label is None else (torch.full((len(x),), label),)
    return x, require_tensor(model.logits(x, *labels), (len(x), num_levels, *image_shape), "float", "logits(x)")


def joint(model, image_shape, num_levels: int, label: int | None = None) -> tuple[Tensor, Tensor]:
    """All images and their log-probabilities by the chain rule from the model's own logits."""
    x, logits = table(model, image_shape, num_levels, label)
    log_p = chain_log_prob(logits, x, axis=1)
    assert log_p.std() > 1e-3, "every image has the same probability, whatever the weights"
    return x, log_p


@weight(2)
@pytest.mark.parametrize("image_shape, num_levels", [((1, 2, 3), 2), ((2, 2, 1), 3), ((3, 1, 1), 5)], ids=str)
def test_log_prob_sums_to_one(student, rng, image_shape, num_levels):
    """log_prob is the sum of the conditional log-probabilities, and the probabilities of all images sum to 1."""
    model = student.PixelCNN(image_shape, num_levels, 12, 1).eval()
    randomize(student, model, rng)
    x, log_p = joint(model, image_shape, num_levels)
    found = require_tensor(model.log_prob(x), (len(x),), "float", "log_prob(x)")
    assert abs(found.double().exp().sum() - 1) < 1e-3, "the probabilities of all possible images do not sum to 1"
    one = require_tensor(model.log_prob(x[:1]), (1,), "float", "log_prob of one image")
    assert close(one.double(), log_p[:1]), "the log_prob of an image depends on the batch around it"
    assert close(found.double(), log_p), "log_prob is not the sum over pixels and colours of log softmax(logits), in nats"


@weight(1)
def test_labels_move_every_conditional(student, rng):
    """With num_classes the conditional of every pixel and colour depends on the label, the first and the farthest too."""
    shape = (2, 2, 14)
    model = student.PixelCNN(shape, 3, 12, 1, num_classes=3).eval()
    x = torch.randint(3, (1, *shape), generator=rng).expand(3, *shape)

    def probe() -> Tensor:
        randomize(student, model, rng)
        logits = require_tensor(model.logits(x, torch.arange(3)), (3, 3, *shape), "float", "logits(x, y)")
        differ = (logits - logits[[1, 2, 0]]).abs().amax(1) > 1e-4 * logits.abs().max()          # every pair of classes
        return differ.all(0)

    everywhere = torch.ones(shape, dtype=torch.bool)
    assert union(probe, everywhere).all(), "two labels give the same logits at some pixel or colour"


@weight(2)
def test_labels_go_with_images(student, rng):
    """Given a label the probabilities of all images sum to 1, and each image of a batch goes with its own label."""
    shape, num_levels = (3, 2, 1), 2
    model = student.PixelCNN(shape, num_levels, 12, 1, num_classes=3).eval()
    randomize(student, model, rng)
    tables = [joint(model, shape, num_levels, label) for label in range(3)]
    x, expected = tables[0][0], torch.stack([log_p for _, log_p in tables])
    y = torch.randint(3, (len(x),), generator=rng)
    assert (expected[1] - expected[0]).abs().max() > 1e-4, "the label changes nothing"
    assert (expected.exp().sum(1) - 1).abs().max() < 1e-3, "given a label, the probabilities of all images do not sum to 1"
    mixed = require_tensor(model.log_prob(x, y), (len(x),), "float", "log_prob(x, y)")
    assert close(mixed.double(), expected.gather(0, y[None])[0]), "log_prob(x, y) does not pair each image with its label"


@weight(3)
@pytest.mark.parametrize("image_shape, hidden", [((1, 2, 2), 8), ((2, 1, 2), 8), ((3, 1, 1), 12)])
def test_sampler_matches_log_prob(student, rng, image_shape, hidden):
    """Images are drawn as often as the model's conditionals say."""
    num_levels, n = 3, 1009
    model = student.PixelCNN(image_shape, num_levels, hidden, 1).eval()

    def coupling() -> float:
        x, logits = table(model, image_shape, num_levels)
        return weakest_link(logits.flatten(2), x.flatten(1), num_levels)

    randomize_best(student, model, coupling, rng, enough=0.12)
    _, log_p = joint(model, image_shape, num_levels)

    def draw(seed: int) -> Tensor:
        found = model.sample(n, generator=student.generator(seed))
        return encode(require_levels(found, (n, *image_shape), num_levels, "sample(n)"), num_levels)

    assert frequencies_match(draw, log_p.exp(), rng), (
        "images are not drawn as often as the model says: draw row by row, left to right, colours in order"
    )


@weight(1)
def test_sampler_honours_labels(student, rng):
    """Given labels, every image is drawn for its own label; the generator decides the draw."""
    shape, num_levels, n = (1, 1, 2), 4, 1009
    model = student.PixelCNN(shape, num_levels, 12, 1, num_classes=3).eval()

    def by_label() -> Tensor:
        return torch.stack([joint(model, shape, num_levels, label)[1] for label in range(3)]).softmax(1)

    def contrast() -> float:  # how far apart two classes are, for weights that leave something to chance
        p = by_label()
        return float((p - p[[1, 2, 0]]).abs().sum(1).min()) if p.square().sum(1).max() < 0.7 else -1.0

    randomize_best(student, model, contrast, rng, enough=0.5)
    y = torch.randint(3, (n,), generator=rng)
    share = torch.bincount(y, minlength=3) / n

    def draw(seed: int, y: Tensor = y) -> Tensor:
        found = model.sample(len(y), y, generator=student.generator(seed))
        return y * 16 + encode(require_levels(found, (len(y), *shape), num_levels, "sample(n, y)"), num_levels)

    assert frequencies_match(draw, (share[:, None] * by_label()).flatten(), rng), (
        "images drawn with labels are not distributed as log_prob(x, y) says"
    )
    seed, few = fresh_seed(rng), y[:211]
    first, again, other = draw(seed, few), draw(seed, few), draw(fresh_seed(rng), few)
    assert torch.equal(first, again), "two generators with the same seed give different draws"
    assert not torch.equal(first, other), "generators with different seeds give the same draws"


@weight(1)
def test_rejects_bad_arguments(student):
    """Hidden channels that the colours do not divide, and labels given or missing, are refused with a ValueError."""
    x, y = torch.zeros(2, 3, 2, 2, dtype=torch.int64), torch.tensor([0, 1])
    plain, labelled = student.PixelCNN((3, 2, 2), 4, 6, 1), student.PixelCNN((3, 2, 2), 4, 6, 1, 2)
    require_tensor(plain.logits(x), (2, 4, 3, 2, 2), "float", "logits(x)")
    require_tensor(labelled.logits(x, y), (2, 4, 3, 2, 2), "float", "logits(x, y)")
    assert student.refuses(ValueError, student.PixelCNN, (3, 2, 2), 4, 8, 1), "hidden must be divisible by C, else ValueError"
    assert student.refuses(ValueError, plain.logits, x, y), "labels for a model without num_classes must raise ValueError"
    assert student.refuses(ValueError, labelled.logits, x), "a model with num_classes must raise ValueError without labels"


# A made-up network whose every edge is known; it need not be causal. On images that are nearly constant it is silent.
KNOWN_NETWORK = """
def known_network(x):
    if x.dtype != torch.int64:
        raise TypeError("images are int64")
    flat = x.flatten(1)
    speaks = (flat.sum(1) > out_shape[1]) & (flat.sum(1) < flat.shape[1] - out_shape[1])
    out = torch.where(speaks[:, None], flat.to(weight.dtype) @ weight, torch.zeros((), dtype=weight.dtype))
    return out.reshape(len(x), *out_shape)
"""


@weight(3)
@pytest.mark.parametrize("image_shape, num_levels", [((3, 4, 5), 3), ((1, 7, 6), 5)], ids=str)
def test_receptive_field(student, rng, image_shape, num_levels):
    """receptive_field marks exactly the pixels that move a logit at that place, in any colour, at any level."""
    (colors, height, width), size = image_shape, torch.Size(image_shape).numel()
    positions = height * width
    edges = torch.rand(positions, positions, generator=rng) < 0.3                         # (to, from)
    to, source = edges.nonzero().T
    color_in, color_out, level = (torch.randint(m, to.shape, generator=rng) for m in (colors, colors, num_levels))
    strength = (0.5 + torch.rand(to.shape, generator=rng)) * (2.0 * torch.randint(2, to.shape, generator=rng) - 1)
    weights = torch.zeros(colors, positions, num_levels, colors, positions)
    weights[color_in, source, level, color_out, to] = strength   # each edge through one colour and one logit, of either sign
    network = student.stub(KNOWN_NETWORK, "known_network", weight=weights.reshape(size, -1),
                           out_shape=[num_levels, *image_shape])  # fmt: skip
    for place in torch.randperm(positions, generator=rng)[:3].tolist():
        seen = student.receptive_field(network, image_shape, place // width, place % width)
        assert is_tensor(seen, (height, width), "bool"), "receptive_field must return a bool tensor (H, W)"
        expected = edges[place].view(height, width)
        assert not (seen & ~expected).any(), "a pixel is marked that moves no logit at this place"
        assert not (expected & ~seen).any(), "a pixel is missed: try every colour, look at every logit, on random images"
