"""Densities: they integrate to 1, samples follow them, and the entropy is the best expected loss."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from common.data import DENSITIES, Counts, GaussianMixture1d, counts, gaussian_mixture_1d, moons, two_spirals
from common.seeding import generator

SAMPLES = 20_000
SMOOTH = sorted(set(DENSITIES) - {"checkerboard"})


@pytest.fixture(scope="module", params=sorted(DENSITIES))
def density(request):
    return DENSITIES[request.param]()


@pytest.fixture(scope="module")
def samples(density):
    return density.sample(SAMPLES, generator(0))


@pytest.fixture(scope="module")
def cells(density):
    """Probability of each cell of a 16 x 16 board on the density's square, from log_prob at cell centres of a finer one."""
    fine = 16 * math.ceil(2 * density.extent / density.cell / 16)
    side = ((torch.arange(fine, dtype=torch.float64) + 0.5) / fine * 2 - 1) * density.extent
    grid = torch.cartesian_prod(side, side)
    log_p = torch.cat([density.log_prob(points) for points in grid.split(8192)])
    mass = log_p.exp().reshape(16, fine // 16, 16, fine // 16).sum((1, 3)) * (2 * density.extent / fine) ** 2
    return mass.numpy()


def test_density_integrates_to_one(cells):
    assert cells.sum() == pytest.approx(1, abs=1e-6)


def test_samples_follow_the_density(density, samples, cells):
    observed, _, _ = np.histogram2d(*samples.double().numpy().T, bins=16, range=[[-density.extent, density.extent]] * 2)
    assert observed.sum() == SAMPLES, "samples outside the square"
    often = cells * SAMPLES >= 5
    expected = np.append(cells[often], max(cells[~often].sum(), 1e-12)) * SAMPLES
    counted = np.append(observed[often], observed[~often].sum())
    if expected[-1] < 5:  # too rare to test: join it to another cell
        expected, counted = np.append(expected[:-2], expected[-2:].sum()), np.append(counted[:-2], counted[-2:].sum())
    assert scipy.stats.chisquare(counted, expected * counted.sum() / expected.sum()).pvalue > 1e-4


def test_entropy_is_the_expected_negative_log_density(density, samples):
    loss = -torch.cat([density.log_prob(points) for points in samples.split(4096)])
    standard_error = float(loss.std()) / math.sqrt(SAMPLES)
    assert float(loss.mean()) == pytest.approx(density.entropy, abs=4 * standard_error + 1e-6)


def test_shapes_and_dtypes_are_kept(density):
    points = density.sample(6, generator(1))
    assert points.shape == (6, 2)
    assert points.dtype == torch.float32
    once = density.log_prob(points)
    assert once.dtype == torch.float32
    torch.testing.assert_close(density.log_prob(points.reshape(2, 3, 2)), once.reshape(2, 3))
    torch.testing.assert_close(density.log_prob(points.double()), once.double(), rtol=1e-4, atol=1e-3)
    assert density.log_prob(points[0]).shape == ()


def test_the_generator_alone_decides(density):
    before = torch.get_rng_state()
    first = density.sample(50, generator(2))
    assert torch.equal(first, density.sample(50, generator(2)))
    assert not torch.equal(first, density.sample(50, generator(3)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [0, -3])
def test_no_samples_are_refused(density, n):
    with pytest.raises(ValueError, match="expected at least 1"):
        density.sample(n)


@pytest.mark.parametrize("shape", [(2, 3), (4, 1), (0,), ()])
def test_points_off_the_plane_are_refused(density, shape):
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 2\)"):
        density.log_prob(torch.zeros(shape))


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_is_the_slope(name):
    density = DENSITIES[name]()
    points = density.sample(5, generator(4)).double().requires_grad_()
    assert torch.autograd.gradcheck(density.log_prob, points)


def test_known_entropies():
    assert DENSITIES["checkerboard"]().entropy == math.log(32)
    apart = math.log(8) + math.log(2 * math.pi * math.e * 0.5**2 / 2)  # eight Gaussians if none overlapped
    assert apart - 0.01 < DENSITIES["eight_gaussians"]().entropy < apart
    assert moons(0.05).entropy == pytest.approx(0.2892, abs=1e-4)


def test_moons_are_a_curve_blurred_by_noise():
    angle = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], -1)
    points = torch.tensor([[0.0, 1.1], [1.0, -0.4], [-1.05, -0.1], [0.5, 0.25], [3.0, 2.0]], dtype=torch.float64)
    blurred = [torch.exp(-((points[:, None] - c) ** 2).sum(-1) / 0.02).double() for c in (upper, lower)]
    direct = sum(torch.trapezoid(b, angle) / math.pi for b in blurred) / 2 / (2 * math.pi * 0.01)
    torch.testing.assert_close(moons(0.1).log_prob(points), direct.log(), rtol=1e-6, atol=1e-6)


def test_rings_are_circles_blurred_by_noise():
    angle = torch.arange(4000, dtype=torch.float64) * (2 * math.pi / 4000)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    points = torch.tensor([[0.7, 0.1], [-1.6, 0.2], [0.0, 0.0], [2.1, -2.0]], dtype=torch.float64)
    rings = [torch.exp(-((points[:, None] - r * circle) ** 2).sum(-1) / (2 * 0.08**2)) for r in (0.75, 1.5, 2.25, 3.0)]
    direct = sum(ring.mean(1) for ring in rings) / 4 / (2 * math.pi * 0.08**2)
    torch.testing.assert_close(DENSITIES["rings"]().log_prob(points), direct.log(), rtol=1e-9, atol=1e-9)


def test_winding_the_pinwheel_keeps_areas():
    density = DENSITIES["pinwheel"]()
    log_p = density.log_prob(torch.tensor([[1.2, 0.4]], dtype=torch.float64))
    turned = torch.tensor([[math.cos(0.4 * math.pi), -math.sin(0.4 * math.pi)],
                           [math.sin(0.4 * math.pi), math.cos(0.4 * math.pi)]], dtype=torch.float64)  # fmt: skip
    torch.testing.assert_close(density.log_prob(torch.tensor([[1.2, 0.4]], dtype=torch.float64) @ turned.T), log_p)


def test_checkerboard_has_no_point_on_a_light_square():
    board = DENSITIES["checkerboard"]()
    assert (board.log_prob(board.sample(100_000, generator(5))) == -math.log(32)).all()
    light = torch.tensor([[1.0, -1.0], [-3.0, -1.0], [5.0, 1.0], [1.0, 4.0]])
    assert (board.log_prob(light) == -math.inf).all()


@pytest.mark.parametrize("build", [lambda: moons(0.0), lambda: moons(-1.0), lambda: two_spirals(0.0)])
def test_noise_must_be_positive(build):
    with pytest.raises(ValueError, match="more than 0"):
        build()


def test_line_mixture_integrates_to_one_and_knows_its_entropy():
    mixture = gaussian_mixture_1d()
    x = torch.linspace(-3, 4, 20_001, dtype=torch.float64)
    p = mixture.log_prob(x).exp()
    assert torch.trapezoid(p, x).item() == pytest.approx(1, abs=1e-9)
    assert -torch.trapezoid(p * p.log(), x).item() == pytest.approx(mixture.entropy, abs=1e-7)
    assert mixture.cdf(x)[-1].item() == pytest.approx(1, abs=1e-9)


def test_line_samples_follow_their_distribution_function():
    mixture = gaussian_mixture_1d()
    draws = mixture.sample(SAMPLES, generator(6))
    assert scipy.stats.kstest(draws.double().numpy(), lambda x: mixture.cdf(torch.from_numpy(x)).numpy()).pvalue > 1e-4


@pytest.mark.parametrize("num_levels", [2, 5, 64])
def test_counts_are_the_mixture_in_bins(num_levels):
    levels, mixture = counts(num_levels), gaussian_mixture_1d()
    assert levels.num_levels == num_levels
    assert levels.probabilities.sum().item() == pytest.approx(1, abs=1e-12)
    half = 1 / (num_levels - 1)
    for level in range(1, num_levels - 1):
        x = torch.linspace(-half, half, 2001, dtype=torch.float64) + 2 * level * half - 1
        mass = torch.trapezoid(mixture.log_prob(x).exp(), x).item()
        assert levels.probabilities[level].item() == pytest.approx(mass, rel=1e-4, abs=1e-12)


def test_counted_frequencies_match_and_entropy_is_the_floor():
    levels = counts(16)
    draws = levels.sample(SAMPLES, generator(7))
    observed = torch.bincount(draws, minlength=16).numpy()
    assert scipy.stats.chisquare(observed, levels.probabilities.numpy() * SAMPLES).pvalue > 1e-4
    loss = -levels.log_prob(draws)
    assert loss.mean().item() == pytest.approx(levels.entropy, abs=4 * loss.std().item() / math.sqrt(SAMPLES))


def test_counts_refuse_what_is_no_distribution():
    for wrong in (torch.tensor([0.5, 0.6]), torch.tensor([1.5, -0.5]), torch.ones(2, 2) / 4):
        with pytest.raises(ValueError, match="sum to 1"):
            Counts(wrong)
    with pytest.raises(ValueError, match="2 or more"):
        counts(1)
    with pytest.raises(ValueError, match=r"expected 0\.\.15"):
        counts(16).log_prob(torch.tensor([3, 16]))
    with pytest.raises(ValueError, match="at least 1"):
        counts(16).sample(0)


@pytest.mark.parametrize(
    "arguments", [((1.0,), (0.0, 1.0), (1.0,)), ((0.5, 0.6), (0.0, 1.0), (1.0, 1.0)), ((1.0,), (0.0,), (0.0,)), ((), (), ())]
)
def test_line_mixture_refuses_bad_parameters(arguments):
    with pytest.raises(ValueError):
        GaussianMixture1d(*arguments)
