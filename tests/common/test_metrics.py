"""Sample metrics: closed forms, hand-made cases, and invariances that hold for any implementation."""

import math

import pytest
import torch

from common.data import fashion_mnist
from common.metrics import (
    density_coverage,
    feature_net,
    features,
    frechet_distance,
    kernel_distance,
    nats_to_bits_per_dim,
)
from common.seeding import generator

METRICS = {"frechet": frechet_distance, "kernel": kernel_distance, "density": density_coverage}


def gaussian(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def with_moments(mean: torch.Tensor, covariance: torch.Tensor, seed: int, n: int = 200) -> torch.Tensor:
    """A sample whose own mean and covariance (ddof 1) are exactly these."""
    x = gaussian(n, len(mean), seed)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def rotation(d: int, seed: int) -> torch.Tensor:
    return torch.linalg.qr(gaussian(d, d, seed))[0]


@pytest.fixture(scope="module")
def images():
    return fashion_mnist("test").images


@pytest.fixture(scope="module")
def real(images):
    return features(images)


def test_uniform_model_costs_log2_of_its_levels():
    for levels, dims in ((4, 784), (256, 3072), (2, 1)):
        assert nats_to_bits_per_dim(dims * math.log(levels), dims) == pytest.approx(math.log2(levels))
    per_image = nats_to_bits_per_dim(torch.tensor([[0.0, 784 * math.log(2)]]), 784)
    torch.testing.assert_close(per_image, torch.tensor([[0.0, 1.0]]))
    with pytest.raises(ValueError, match="at least 1"):
        nats_to_bits_per_dim(1.0, 0)


def test_frechet_of_known_gaussians():
    # |m|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) = 1 + (1 + 1 + 4 + 1) - 2 (2 + 1)
    a = with_moments(torch.zeros(2).double(), torch.eye(2).double(), 0)
    b = with_moments(torch.tensor([1.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 1.0])).double(), 1, n=77)
    assert frechet_distance(a, b) == pytest.approx(2, abs=1e-9)


def test_frechet_of_covariances_that_do_not_commute():
    a = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    b = torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double()
    # For 2x2 matrices tr (AB)^(1/2) = (tr AB + 2 (det AB)^(1/2))^(1/2).
    trace_of_root = math.sqrt(float((a @ b).trace()) + 2 * math.sqrt(float(torch.linalg.det(a @ b))))
    zero = torch.zeros(2).double()
    measured = frechet_distance(with_moments(zero, a, 2), with_moments(zero, b, 3))
    assert measured == pytest.approx(8 - 2 * trace_of_root, abs=1e-9)


def test_frechet_on_the_line_is_the_gap_of_means_and_scales():
    a, b = 3 * gaussian(50, 1, 4) + 2, gaussian(80, 1, 5)
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_sees_neither_order_rotation_nor_shift_and_scales_as_a_square():
    a, b = gaussian(60, 5, 6), gaussian(70, 5, 7) * torch.arange(1, 6) + 1
    distance, turn = frechet_distance(a, b), rotation(5, 8)
    assert distance > 1
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a.flip(0), b) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a @ turn + 9, b @ turn + 9) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_stays_real_and_right_for_singular_covariances():
    few = gaussian(6, 20, 9)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    # Scaling about the mean by 2: tr(C + 4 C - 2 * 2 C) = tr C.
    scaled = few.mean(0) + 2 * (few - few.mean(0))
    assert frechet_distance(few, scaled) == pytest.approx(float(torch.cov(few.T).trace()), rel=1e-6)


def test_kernel_distance_by_hand():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    # (xy + 1)^3: within a 1; within b 343; across 1, 1, 27, 64.
    assert kernel_distance(a, b) == pytest.approx(1 + 343 - 2 * (1 + 1 + 27 + 64) / 4)


def test_kernel_distance_is_the_plain_double_sum():
    a, b = gaussian(7, 3, 10), gaussian(4, 3, 11) + 1

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    within = [sum(k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j) for x in (a, b)]
    expected = within[0] / 42 + within[1] / 12 - 2 * sum(k(x, y) for x in a for y in b) / 28
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased_on_tiny_sets():
    # All pairs of points of {-1, 0, 2}, drawn independently for both sides: the mean of all estimates is 0. With a
    # point's likeness to itself counted, each would be larger.
    points = torch.tensor([-1.0, 0.0, 2.0]).double()
    pairs = torch.cartesian_prod(points, points)[:, :, None]
    estimates = [kernel_distance(a, b) for a in pairs for b in pairs]
    assert sum(estimates) / len(estimates) == pytest.approx(0, abs=1e-9)
    assert min(estimates) < 0


def test_density_and_coverage_by_hand():
    real, fake = torch.tensor([[0.0], [1.0], [2.0], [10.0]]), torch.tensor([[0.5], [6.0]])
    # Radii for k = 1: 1, 1, 1, 8. The first fake lies in the balls of 0 and 1, the second in that of 10.
    assert density_coverage(real, fake, k=1) == (pytest.approx(3 / 2), pytest.approx(3 / 4))
    # Radii for k = 2: 2, 1, 2, 9. The first fake lies in the balls of 0, 1 and 2, the second in that of 10.
    assert density_coverage(real, fake, k=2) == (pytest.approx(4 / 4), pytest.approx(1.0))


def test_density_and_coverage_of_copies_and_of_strangers():
    real = gaussian(700, 3, 12)
    assert density_coverage(real, real, k=5) == (pytest.approx(6 / 5), 1.0)  # a ball holds its centre and k others
    assert density_coverage(real, real + 100) == (0.0, 0.0)


def test_a_lost_mode_costs_coverage_and_no_density():
    real = torch.cat([gaussian(300, 2, 13), gaussian(300, 2, 14) + 50])
    fair, crowded = torch.cat([gaussian(300, 2, 15), gaussian(300, 2, 16) + 50]), 0.3 * gaussian(600, 2, 17)
    assert density_coverage(real, crowded)[0] >= density_coverage(real, fair)[0]
    assert density_coverage(real, crowded)[1] < 0.5 < 0.9 < density_coverage(real, fair)[1]


def test_coverage_of_equal_distributions_is_what_counting_predicts():
    # 1 - prod (n - i) / (m + n - i), i = 1..k: a ball is empty when its k neighbours come first among all m + n - 1.
    n, m, k = 500, 100, 5
    expected = 1 - math.prod((n - i) / (m + n - i) for i in range(1, k + 1))
    measured = [density_coverage(gaussian(n, 2, 2 * s), gaussian(m, 2, 2 * s + 1), k)[1] for s in range(20)]
    assert sum(measured) / 20 == pytest.approx(expected, abs=0.02)


NOT_COMPARABLE = {
    "other widths": (torch.zeros(9, 2), torch.zeros(9, 3)),
    "no matrix": (torch.zeros(9), torch.zeros(9, 1)),
    "no fakes": (torch.zeros(9, 2), torch.zeros(0, 2)),
    "NaN": (torch.zeros(9, 2), torch.full((9, 2), torch.nan)),
    "infinity": (torch.full((9, 2), torch.inf), torch.zeros(9, 2)),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("a, b", NOT_COMPARABLE.values(), ids=NOT_COMPARABLE)
def test_features_that_can_not_be_compared_are_refused(name, a, b):
    with pytest.raises(ValueError):
        METRICS[name](a, b)


@pytest.mark.parametrize("k", [0, -1, 4, 5])
def test_neighbours_that_do_not_exist_are_refused(k):
    with pytest.raises(ValueError, match=r"expected 1\.\.3"):
        density_coverage(torch.rand(4, 2), torch.rand(4, 2), k)


def test_feature_net_knows_fashion():
    test = fashion_mnist("test")
    with torch.inference_mode():
        right = feature_net()(test.images / 255).argmax(1) == test.labels
    assert right.double().mean() > 0.9
    assert 70_000 < sum(p.numel() for p in feature_net().parameters()) < 80_000


def test_an_image_keeps_its_features_in_any_batch(images, real):
    assert real.shape == (2000, 64)
    assert real.dtype == torch.float32
    torch.testing.assert_close(features(images[:3]), real[:3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features(images[:6].flip(0)).flip(0), real[:6], rtol=1e-4, atol=1e-4)
    assert not real.requires_grad


def test_features_refuse_what_is_no_byte_image():
    with pytest.raises(TypeError, match="uint8"):
        features(torch.rand(2, 1, 28, 28))
    for shape in ((2, 1, 32, 32), (2, 3, 28, 28), (2, 28, 28)):
        with pytest.raises(ValueError, match=r"expected \(B, 1, 28, 28\)"):
            features(torch.zeros(shape, dtype=torch.uint8))


def test_worse_images_are_farther_than_real_ones(images, real):
    first, second = real[:1000], real[1000:]
    noise = 40 * torch.randn(1000, 1, 28, 28, generator=generator(18))
    noisy = features((images[1000:] + noise).clamp(0, 255).to(torch.uint8))
    half = second[fashion_mnist("test").labels[1000:] < 5]
    assert frechet_distance(first, noisy) > 3 * frechet_distance(first, second)
    assert frechet_distance(first, half) > 3 * frechet_distance(first, second)
    assert kernel_distance(first, half) > 10 * abs(kernel_distance(first, second))
    assert density_coverage(first, second)[1] > 0.9 > 0.7 > density_coverage(first, half)[1]
