"""Figures: pixels are where they belong, floors where they are said to be, words say what is drawn."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb as rgb_of
from matplotlib.figure import Figure
from PIL import Image

from common import plotting
from common.plotting.curves import running_mean
from common.plotting.images import to_rgb
from common.plotting.planes import grid_points
from common.plotting.style import COLORS, contrast_to_white, readable, spread_apart
from common.training import History

GENERATOR = torch.Generator().manual_seed(0)
BYTES = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8, generator=GENERATOR)
PLANE = torch.randn(50, 2, generator=GENERATOR)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "figures"


def history(start=2.0, validation=True, floor=None):
    losses = [start * 0.99**i for i in range(100)]
    steps = [25, 50, 75, 100] if validation else []
    return History(losses=losses, validation=[losses[i - 1] for i in steps], validation_steps=steps, floor=floor)


def gaussian(x):
    return -x.square().sum(dim=1) / 2 - np.log(2 * np.pi)


ALL = {
    "images": lambda **k: plotting.show_images(BYTES, **k),
    "mask": lambda **k: plotting.show_mask(torch.ones(4, 5, dtype=torch.bool), row=1, column=2, **k),
    "losses": lambda **k: plotting.plot_losses(history(), floor=0.5, **k),
    "lines": lambda **k: plotting.plot_lines([1, 2, 4], {"a": [1, 2, 3], "b": [3, 2, 1]}, xlabel="x", ylabel="y", **k),
    "bars": lambda **k: plotting.plot_bars([0.2, 0.8], **k),
    "density": lambda **k: plotting.plot_density_2d(gaussian, **k),
    "map": lambda **k: plotting.plot_map_2d({"identity": lambda x: x, "turned": lambda x: x.flip(1)}, **k),
    "samples": lambda **k: plotting.plot_samples_2d(PLANE, **k),
    "trajectories": lambda **k: plotting.plot_trajectories(torch.stack([PLANE, PLANE + 1]), **k),
}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


# Every figure

@pytest.mark.parametrize("kind", ALL)
def test_a_figure_is_saved_under_its_name_with_its_description(folder, kind):
    figure = ALL[kind](title="A title", name="drawn")
    assert isinstance(figure, Figure)
    with Image.open(folder / "drawn.png") as image:
        assert image.info["Description"] == figure.description
        assert image.width > 200
        assert np.asarray(image.convert("L")).std() > 1, "the picture is empty"
    assert figure.description.startswith("A title")
    assert len(figure.description) > 25


@pytest.mark.parametrize("kind", ALL)
def test_nothing_else_is_touched(folder, kind):
    before = dict(mpl.rcParams)
    ALL[kind]()
    assert not folder.exists(), "a figure without a name is not saved"
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == [], "pyplot would show it a second time"


@pytest.mark.parametrize("kind", ALL)
def test_the_look_is_the_same_whatever_the_caller_has_set(folder, kind):
    ALL[kind](name="plain")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "figure.dpi": 30, "lines.linewidth": 9}):
        ALL[kind](name="odd")
    assert (folder / "plain.png").read_bytes() == (folder / "odd.png").read_bytes()


def test_the_style_is_for_own_drawings_too():
    with mpl.rc_context():
        plotting.use_style()
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS.values())


def test_labels_are_readable_on_white():
    """Text keeps its hue and reaches the contrast that WCAG asks for; lines reach that of graphics, the first four."""
    assert contrast_to_white(np.zeros(3)) == pytest.approx(21)
    assert contrast_to_white(np.ones(3)) == pytest.approx(1)
    for color in COLORS.values():
        assert contrast_to_white(np.array(rgb_of(readable(color)))) >= 4.45
    assert readable("#000000") == "#000000"
    assert all(contrast_to_white(np.array(rgb_of(color))) >= 3 for color in list(COLORS.values())[:4])


@pytest.mark.parametrize("positions", [[0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [0.0, 0.01, 0.02, 0.9, 0.91], [0.3], []])
def test_labels_that_would_overlap_move_apart(positions):
    gap = 0.1
    moved = spread_apart(positions, gap)
    assert len(moved) == len(positions)
    assert all(b - a >= gap - 1e-12 for a, b in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(sum(positions)), "they move apart evenly, not all upwards"
    if all(b - a >= gap for a, b in itertools.pairwise(positions)):
        assert moved == pytest.approx(positions)


# Images

def test_bytes_are_shown_as_they_are():
    assert torch.equal(to_rgb(BYTES), BYTES.permute(0, 2, 3, 1))
    grey = to_rgb(BYTES[:, :1])
    assert torch.equal(grey, BYTES[:, :1].permute(0, 2, 3, 1).expand(-1, -1, -1, 3))
    assert torch.equal(to_rgb(BYTES[:, 0]), grey)


@pytest.mark.parametrize("num_levels", [2, 4, 16, 256])
def test_levels_go_evenly_from_black_to_white(num_levels):
    levels = torch.arange(num_levels).reshape(1, 1, -1)
    shades = to_rgb(levels, num_levels=num_levels)[0, 0, :, 0].long()
    assert (shades[0], shades[-1]) == (0, 255)
    steps = shades.diff()
    assert int(steps.max() - steps.min()) <= 1


def test_tokens_take_their_colour_from_the_palette():
    palette = torch.randint(0, 256, (7, 3), dtype=torch.uint8, generator=GENERATOR)
    tokens = torch.randint(0, 7, (3, 4, 5), generator=GENERATOR)
    shown = to_rgb(tokens, palette=palette)
    for index in itertools.product(range(3), range(4), range(5)):
        assert torch.equal(shown[index], palette[tokens[index]])


def test_floats_are_clipped_to_the_unit_interval():
    values = torch.tensor([-1.0, 0.0, 0.5, 1.0, 9.0, float("nan")]).reshape(1, 1, 1, -1)
    assert to_rgb(values)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]


@pytest.mark.parametrize("images, arguments, sentence", [
    (torch.zeros(3), {}, r"shape \[3\]"),
    (torch.zeros(2, 4, 5, 5), {}, "C = 1 or 3"),
    (torch.zeros(2, 5, 5, dtype=torch.long), {}, "num_levels= for levels or palette= for tokens"),
    (torch.full((1, 2, 2), 4), {"num_levels": 4}, r"a level lies in 0\.\.3; the images have 4\.\.4"),
    (torch.full((1, 2, 2), -1), {"palette": torch.zeros(3, 3)}, r"a token lies in 0\.\.2; the images have -1\.\.-1"),
    (torch.zeros(1, 2, 2), {"num_levels": 4}, "a level is an integer"),
    (torch.zeros(1, 3, 2, 2, dtype=torch.long), {"palette": torch.zeros(3, 3)}, "one channel"),
])
def test_images_of_the_wrong_kind_are_refused(images, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        plotting.show_images(images, **arguments)


def test_a_grid_holds_every_image_in_its_place():
    grid = plotting.image_grid(BYTES, columns=2)
    assert grid.shape == (3 * 5 - 1, 2 * 7 - 1, 3)
    for i in range(5):
        top, left = 5 * (i // 2), 7 * (i % 2)
        assert torch.equal(grid[top:top + 4, left:left + 6], BYTES[i].permute(1, 2, 0))
    assert (grid[4] == 255).all(), "a white line between rows"
    assert (grid[10:, 7:] == 255).all(), "an empty place is white"


def test_labels_of_rows_and_columns_must_be_as_many():
    figure = plotting.show_images(BYTES[:4], columns=2, row_labels=["T = 1", "T = 2"], column_labels=["bag", "coat"])
    for text in ("2 rows", "T = 1, T = 2", "bag, coat"):
        assert text in figure.description
    with pytest.raises(ValueError, match="1 row labels for 2 rows"):
        plotting.show_images(BYTES[:4], columns=2, row_labels=["x"])
    with pytest.raises(ValueError, match="3 column labels for 2 columns"):
        plotting.show_images(BYTES[:4], columns=2, column_labels=["x", "y", "z"])


def test_a_mask_is_described_by_its_counts():
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[0, :3] = True
    assert "set: 3 of 12 pixels" in plotting.show_mask(mask).description
    assert "one: 3 of 12 pixels; all: 12 of 12 pixels" in plotting.show_mask({"one": mask, "all": mask | True}).description


# Curves

def test_losses_show_their_ends_and_floors():
    figure = plotting.plot_losses({"plain": history(), "gated": history(1.0, validation=False)},
                                  floor={"entropy": 0.25, "uniform": 2.0})
    assert sorted(texts(figure)) == ["entropy 0.25", "gated 0.372", "plain 0.739", "uniform 2"]
    dashed = [line.get_ydata() for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [[0.25, 0.25], [2.0, 2.0]]
    low, high = figure.axes[0].get_ylim()
    assert low < 0.25
    assert high > 2.0


def test_a_historys_own_floor_is_drawn_in_the_same_units():
    run = history(floor=0.6)
    figure = plotting.plot_losses(run, scale=0.5)
    losses, _, validation, floor = figure.axes[0].lines
    assert losses.get_ydata() == pytest.approx(np.array(run.losses) / 2)
    assert validation.get_ydata() == pytest.approx(np.array(run.validation) / 2)
    assert list(validation.get_xdata()) == run.validation_steps
    assert floor.get_ydata() == pytest.approx([0.3, 0.3])
    assert "floor 0.3" in texts(figure)
    assert "floor 0.6" in texts(plotting.plot_losses({"a": history(floor=0.6), "b": history(floor=0.6)}))
    different = plotting.plot_losses({"a": history(floor=0.6), "b": history(floor=0.7)})
    assert {"floor of a 0.6", "floor of b 0.7"} <= set(texts(different))
    assert plotting.plot_losses([3.0, 2.0, 1.0]).axes


def test_an_empty_history_is_named():
    with pytest.raises(ValueError, match="'gated' has no losses"):
        plotting.plot_losses({"plain": history(), "gated": History()})


@pytest.mark.parametrize("width", [1, 2, 5, 100])
def test_a_running_mean_is_the_mean_of_the_neighbours(width):
    values = np.random.default_rng(0).normal(size=23)
    half = width // 2
    expected = [values[max(0, i - half):i + half + 1].mean() for i in range(23)]
    assert running_mean(values, width) == pytest.approx(np.array(expected))
    assert running_mean(np.full(9, 3.0), width) == pytest.approx(np.full(9, 3.0))


def test_lines_are_labelled_at_their_ends_and_keep_their_ticks():
    figure = plotting.plot_lines([16, 64, 256], {"cached": [1, 2, 3], "uncached": [1, 5, 30]}, xlabel="tokens", ylabel="s",
                                 log="xy", spread={"cached": [0.1, 0.1, 0.2]}, floor={"one pass": 1.0})
    assert sorted(texts(figure)) == ["cached", "one pass 1", "uncached"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["16", "64", "256"]
    assert "uncached from 1 to 30" in figure.description


def test_bars_compare_a_model_with_data():
    figure = plotting.plot_bars({"data": [0.1, 0.7, 0.2], "model": [0.3, 0.3, 0.4]}, categories=["a", "b", "c"])
    assert [bar.get_height() for bar in figure.axes[0].patches[:3]] == pytest.approx([0.1, 0.7, 0.2])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["data", "model"]
    assert "data is largest at b, 0.7; model is largest at c, 0.4" in figure.description


# The plane

def test_a_density_has_its_mass_and_its_place():
    def shifted(x):
        return gaussian((x - torch.tensor([2.0, -1.0])) / 0.5) - 2 * np.log(0.5)

    figure = plotting.plot_density_2d({"one": gaussian, "shifted": shifted}, extent=(-5, 5, -5, 5))
    assert "one has mass 1.00" in figure.description
    assert "shifted has mass 1.00" in figure.description
    image = figure.axes[1].images[0]
    row, column = np.unravel_index(image.get_array().argmax(), (200, 200))
    left, right, bottom, top = image.get_extent()
    assert left + (right - left) * (column + 0.5) / 200 == pytest.approx(2.0, abs=0.05)
    assert bottom + (top - bottom) * (row + 0.5) / 200 == pytest.approx(-1.0, abs=0.05)
    assert image.origin == "lower"
    assert image.get_clim() == figure.axes[0].images[0].get_clim(), "panels share one scale"


def test_grid_points_are_cell_centres():
    points = grid_points((0.0, 2.0, -1.0, 1.0), 2)
    assert points.tolist() == [[0.5, -0.5], [1.5, -0.5], [0.5, 0.5], [1.5, 0.5]]


@pytest.mark.parametrize("draw, sentence", [
    (lambda: plotting.plot_density_2d(lambda x: x), r"must map \(N, 2\) to \(N,\)"),
    (lambda: plotting.plot_samples_2d(torch.zeros(3, 3)), r"shape \[3, 3\]"),
    (lambda: plotting.plot_trajectories(torch.zeros(3, 2)), r"\(T, N, 2\)"),
    (lambda: plotting.plot_map_2d(lambda x: x[:, :1]), r"keep \(N, 2\)"),
])
def test_wrong_shapes_are_refused(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()


def test_samples_share_their_axes_and_may_hold_nan():
    wide = torch.cat([3 * PLANE, torch.full((1, 2), float("nan"))])
    figure = plotting.plot_samples_2d({"data": PLANE, "model": wide})
    limits = [(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes]
    assert limits[0] == limits[1]
    assert limits[0][0] < 3 * PLANE[:, 0].min()
    assert "model: 51 points" in figure.description


def test_paths_start_at_a_ring_and_end_at_a_dot():
    start, end = PLANE[:4], PLANE[:4] + 2
    figure = plotting.plot_trajectories(torch.stack([start, (start + end) / 2, end]))
    rings, dots = figure.axes[0].collections
    assert np.allclose(rings.get_offsets(), start.numpy())
    assert np.allclose(dots.get_offsets(), end.numpy())
    assert len(figure.axes[0].lines) == 4
    assert "4 points over 3 times" in figure.description


def test_a_grid_goes_where_the_map_sends_it():
    figure = plotting.plot_map_2d(lambda x: x * torch.tensor([2.0, -3.0]) + 1, extent=(-1, 1, 0, 2), lines=3)
    drawn = [(rgb_of(line.get_color()), line.get_xdata(), line.get_ydata()) for line in figure.axes[0].lines]
    blue = sorted((x[0], x[-1], y[0], y[-1]) for color, x, y in drawn if color == rgb_of(COLORS["blue"]))
    other = sorted((x[0], x[-1], y[0], y[-1]) for color, x, y in drawn if color != rgb_of(COLORS["blue"]))
    assert np.allclose(blue, [(-1, -1, 1, -5), (1, 1, 1, -5), (3, 3, 1, -5)]), "the first coordinate is constant"
    assert np.allclose(other, [(-1, 3, -5, -5), (-1, 3, -2, -2), (-1, 3, 1, 1)]), "the second coordinate is constant"


def test_many_points_are_drawn_without_markers():
    few, many = (plotting.plot_lines(range(n), {"a": range(n)}, xlabel="x", ylabel="y").axes[0].lines[0] for n in (5, 100))
    assert few.get_marker() == "o"
    assert many.get_marker() in ("", "None")


def test_a_map_counts_its_entries_in_its_unit():
    maps = {"left": torch.tensor([[True, False]]), "right": torch.tensor([[True, True]])}
    titles = [[axes.get_title("left") for axes in plotting.show_mask(maps, **unit).axes] for unit in ({}, {"unit": ""})]
    assert titles == [["left (1 pixels)", "right (2 pixels)"], ["left", "right"]]
