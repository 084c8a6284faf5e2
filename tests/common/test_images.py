"""Embedded image sets: complete, labelled, split without overlap, and quantised in equal bins."""

import numpy as np
import pytest
import torch

from common.data import avatars, digits, fashion_mnist, from_levels, images, to_levels

HELDOUT = images.ASSETS.parents[2] / "hw1_autoregressive" / "heldout"
SETS = {"fashion": (fashion_mnist, (1, 28, 28), (10_000, 2_000)), "digits": (digits, (1, 8, 8), (1_500, 297)),
        "avatars": (avatars, (3, 16, 16), (10_000, 1_000))}  # fmt: skip


def distinct(rows) -> set[bytes]:
    return {np.asarray(row).tobytes() for row in rows}


@pytest.fixture(scope="module")
def avatar_set():
    return avatars()


@pytest.mark.parametrize("name", SETS)
def test_shapes_types_and_labels(name):
    load, shape, sizes = SETS[name]
    for split, size in zip(("train", "test"), sizes):
        data = load(split)
        assert data.images.shape == (size, *shape)
        assert len(data) == size
        assert data.images.dtype == torch.uint8
        assert data.labels.dtype == torch.int64
        assert data.labels.unique().tolist() == list(range(len(data.classes))), "every class occurs, none is unnamed"


@pytest.mark.parametrize("name", SETS)
def test_splits_share_no_image(name):
    load = SETS[name][0]
    assert not distinct(load("train").images) & distinct(load("test").images)


@pytest.mark.parametrize("name", SETS)
def test_loading_twice_gives_the_same_and_independent_tensors(name):
    load = SETS[name][0]
    first, second = load("test"), load("test")
    assert torch.equal(first.images, second.images)
    first.images.zero_()
    assert second.images.any()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("split", ["valid", "", "Train", None])
def test_unknown_splits_are_refused(name, split):
    with pytest.raises(ValueError, match="choose one of train, test"):
        SETS[name][0](split)


def test_fashion_classes_are_balanced():
    assert fashion_mnist("train").labels.bincount().tolist() == [1_000] * 10
    assert fashion_mnist("test").labels.bincount().tolist() == [200] * 10


def test_a_missing_asset_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "ASSETS", tmp_path)
    with pytest.raises(FileNotFoundError, match="unpack the course's files again"):
        fashion_mnist()


def test_avatar_images_are_their_tokens(avatar_set):
    assert avatar_set.tokens.shape == (10_000, 16, 16)
    assert avatar_set.tokens.dtype == torch.int64
    assert avatar_set.palette.shape == (32, 3)
    assert torch.equal(avatar_set.images.permute(0, 2, 3, 1), avatar_set.palette[avatar_set.tokens])
    assert avatar_set.tokens.unique().tolist() == list(range(32)), "every palette entry is used"
    assert len(distinct(avatar_set.palette)) == 32, "no colour stands twice"
    assert len(distinct(avatar_set.tokens)) == 10_000, "no avatar stands twice"


def test_avatar_attributes_have_names_and_all_values_occur(avatar_set):
    assert avatar_set.attributes.keys() == avatar_set.values.keys()
    for name, labels in avatar_set.attributes.items():
        counted = labels.bincount(minlength=len(avatar_set.values[name]))
        assert counted.shape == (len(avatar_set.values[name]),)
        assert counted.min() >= 1_000, f"{name}: some value is rare"
    assert torch.equal(avatar_set.labels, avatar_set.attributes["hair_color"])
    assert avatar_set.classes == avatar_set.values["hair_color"]


@pytest.mark.parametrize("attribute, rows, at_least", [("hair_color", slice(0, 16), 6), ("clothing_color", slice(12, 16), 8)])
def test_avatar_colours_show_in_the_picture(avatar_set, attribute, rows, at_least):
    labels, tokens = avatar_set.attributes[attribute], avatar_set.tokens[:, rows].flatten(1)
    counted = torch.stack([(tokens == color).sum(1) for color in range(32)], 1)  # (N, 32)
    for value, name in enumerate(avatar_set.values[attribute]):
        always_there = (counted[labels == value] >= at_least).all(0)
        usual_elsewhere = (counted[labels != value] >= at_least).float().mean(0) > 0.5
        assert (always_there & ~usual_elsewhere).any(), f"{attribute} {name} has no colour of its own"


def test_heldout_images_lie_outside_the_embedded_sets(avatar_set):
    fashion, avatar = np.load(HELDOUT / "fashion.npz"), np.load(HELDOUT / "avatars.npz")
    assert fashion["images"].shape == (600, 1, 28, 28)
    assert fashion["images"].dtype == np.uint8
    embedded = distinct(fashion_mnist("train").images) | distinct(fashion_mnist("test").images)
    assert not embedded & distinct(fashion["images"])
    assert avatar["tokens"].shape == (300, 256)
    embedded = distinct(avatar_set.tokens.flatten(1)) | distinct(avatars("test").tokens.flatten(1))
    assert not embedded & distinct(avatar["tokens"].astype(np.int64))
    assert set(avatar.files) == {"tokens", *avatar_set.attributes}


def test_digits_keep_their_seventeen_levels():
    levels = to_levels(digits().images, 17)
    assert levels.unique().tolist() == list(range(17))
    assert torch.equal((from_levels(levels, 17) * 255).round().to(torch.uint8), digits().images)


@pytest.mark.parametrize("num_levels", [2, 4, 8, 256])
def test_levels_are_equal_bins_in_order(num_levels):
    levels = to_levels(torch.arange(256, dtype=torch.uint8), num_levels)
    assert levels.dtype == torch.int64
    assert levels.bincount().tolist() == [256 // num_levels] * num_levels
    assert (levels.diff() >= 0).all()


@pytest.mark.parametrize("num_levels", [2, 3, 17, 256])
def test_levels_come_back_within_a_bin(num_levels):
    values = torch.arange(256, dtype=torch.uint8)
    back = from_levels(to_levels(values, num_levels), num_levels)
    assert back.dtype == torch.float32
    assert back.min() == 0
    assert back.max() == 1
    assert (back - values / 255).abs().max() <= 1 / num_levels
    assert torch.equal(to_levels((back * 255).round().to(torch.uint8), num_levels), to_levels(values, num_levels))


@pytest.mark.parametrize("num_levels", [1, 0, -2, 257])
def test_impossible_numbers_of_levels_are_refused(num_levels):
    with pytest.raises(ValueError, match=r"expected 2\.\.256"):
        to_levels(torch.zeros(2, dtype=torch.uint8), num_levels)
    with pytest.raises(ValueError, match=r"expected 2\.\.256"):
        from_levels(torch.zeros(2, dtype=torch.int64), num_levels)


def test_floats_are_no_bytes_and_levels_stay_in_range():
    with pytest.raises(TypeError, match="uint8"):
        to_levels(torch.rand(3), 4)
    for wrong in ([0, 4], [-1, 0]):
        with pytest.raises(ValueError, match=r"expected 0\.\.3"):
            from_levels(torch.tensor(wrong), 4)
