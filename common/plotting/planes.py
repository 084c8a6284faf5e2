"""Pictures of the plane: densities, samples, and the paths of points."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from common.plotting.style import COLORS, GREY, ShownFigure, finish, listing, new_figure, panels, styled

PANEL = 3.0  # inches
POINTS_PER_LINE = 200  # of a mapped grid, so that curves look like curves
Extent = tuple[float, float, float, float]


@styled
def plot_density_2d(
    log_prob: Callable[[Tensor], Tensor] | Any | Mapping[str, Any],
    *,
    samples: Tensor | None = None,
    extent: Extent = (-4.0, 4.0, -4.0, 4.0),
    resolution: int = 200,
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw densities over the plane, all on one colour scale.

    log_prob: a function (N, 2) -> (N,) in nats, an object with such a method, or several by title. samples (N, 2) are
    drawn on top. extent: (left, right, bottom, top).
    """
    densities = {label: _density(f, extent, resolution) for label, f in panels(log_prob).items()}
    top = max(float(d.max()) for d in densities.values())
    figure, all_axes = _square_panels(len(densities))
    for axes, (label, density) in zip(all_axes, densities.items()):
        image = axes.imshow(density.numpy(), origin="lower", extent=extent, vmin=0, vmax=top, interpolation="bilinear")
        if samples is not None:
            axes.scatter(*_points(samples).T, s=3, color="white", edgecolor="black", linewidth=0.3)
        axes.set_title(label or title)
    figure.colorbar(image, ax=all_axes, label="density", shrink=0.85)
    _suptitle(figure, title, densities)
    mass = (extent[1] - extent[0]) * (extent[3] - extent[2])
    words = "; ".join(f"{label or 'density'} has mass {float(d.mean()) * mass:.2f} in the picture"
                      for label, d in densities.items())
    return finish(figure, f"{title or 'Density'} over the plane {extent}. {words}.", name)


@styled
def plot_samples_2d(
    samples: Tensor | Mapping[str, Tensor],
    *,
    extent: Extent | None = None,
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw points (N, 2), or several sets by title in panels with the same axes. extent: default all points."""
    sets = {label: _points(s) for label, s in panels(samples).items()}
    extent = extent or _extent_of(torch.cat(list(sets.values())))
    figure, all_axes = _square_panels(len(sets))
    for axes, (label, points) in zip(all_axes, sets.items()):
        axes.scatter(*points.T, s=4, alpha=max(0.15, min(1.0, 500 / len(points))), color=COLORS["blue"], linewidth=0)
        _frame(axes, extent)
        axes.set_title(label or title)
    _suptitle(figure, title, sets)
    counts = "; ".join(f"{label or 'set'}: {len(p)} points" for label, p in sets.items())
    return finish(figure, f"{title or 'Samples'} in the plane. {counts}.", name)


@styled
def plot_trajectories(
    paths: Tensor | Mapping[str, Tensor],
    *,
    extent: Extent | None = None,
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw the ways of points through the plane: paths (T, N, 2), T times and N points, or several sets by title.

    A ring marks where a path starts, a dot where it ends.
    """
    sets = {label: torch.as_tensor(p).detach().cpu().double() for label, p in panels(paths).items()}
    for label, path in sets.items():
        if path.ndim != 3 or path.shape[-1] != 2:
            raise ValueError(f"paths {label!r} have shape {list(path.shape)}; (T, N, 2) is needed")
    extent = extent or _extent_of(torch.cat([p.reshape(-1, 2) for p in sets.values()]))
    figure, all_axes = _square_panels(len(sets))
    for axes, (label, path) in zip(all_axes, sets.items()):
        axes.plot(path[..., 0].numpy(), path[..., 1].numpy(), color=GREY, linewidth=0.7, alpha=0.6)
        axes.scatter(*path[0].T, s=16, facecolor="white", edgecolor=COLORS["blue"], zorder=3, label="start")
        axes.scatter(*path[-1].T, s=16, color=COLORS["vermillion"], zorder=4, label="end")
        _frame(axes, extent)
        axes.set_title(label or title)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside right center")
    _suptitle(figure, title, sets)
    first = next(iter(sets.values()))
    return finish(figure, f"{title or 'Trajectories'} of {first.shape[1]} points over {first.shape[0]} times. "
                          f"{listing(list(sets))}".strip(), name)


@styled
def plot_map_2d(
    maps: Callable[[Tensor], Tensor] | Mapping[str, Callable[[Tensor], Tensor]],
    *,
    extent: Extent = (-2.0, 2.0, -2.0, 2.0),
    lines: int = 17,
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw what a map (N, 2) -> (N, 2) makes of a square grid, or several maps by title in panels with the same axes.

    extent: (left, right, bottom, top) of the grid; `lines` run each way. Lines of constant first coordinate are blue,
    those of constant second coordinate vermillion. Raises ValueError when a map does not keep the shape.
    """
    functions, grids = panels(maps), _grid_lines(extent, lines)
    images = {label: [_mapped(function, grid) for grid in grids] for label, function in functions.items()}
    shown = _extent_of(torch.cat([image.reshape(-1, 2) for pair in images.values() for image in pair]))
    figure, all_axes = _square_panels(len(images))
    for axes, (label, pair) in zip(all_axes, images.items()):
        for image, color in zip(pair, (COLORS["blue"], COLORS["vermillion"])):
            axes.plot(image[..., 0].T.numpy(), image[..., 1].T.numpy(), color=color, linewidth=0.8)
        _frame(axes, shown)
        axes.set_title(label or title)
    _suptitle(figure, title, images)
    return finish(figure, f"{title or 'A square grid under a map'}, {lines} lines each way. {listing(list(images))}".strip(),
                  name)


def grid_points(extent: Extent, resolution: int) -> Tensor:
    """Centres (resolution^2, 2) of the cells of a square grid over extent, row by row from the bottom left."""
    left, right, bottom, top = extent
    fraction = (torch.arange(resolution, dtype=torch.get_default_dtype()) + 0.5) / resolution
    y, x = torch.meshgrid(bottom + (top - bottom) * fraction, left + (right - left) * fraction, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=-1)


@torch.no_grad()
def _density(log_prob: Any, extent: Extent, resolution: int) -> Tensor:
    function = getattr(log_prob, "log_prob", log_prob)
    values = function(grid_points(extent, resolution))
    if values.shape != (resolution**2,):
        raise ValueError(f"log_prob must map (N, 2) to (N,); it gave {list(values.shape)} for N = {resolution**2}")
    return values.detach().cpu().double().exp().reshape(resolution, resolution)


def _grid_lines(extent: Extent, lines: int) -> tuple[Tensor, Tensor]:
    """Points along the grid's lines, (lines, POINTS_PER_LINE, 2): of constant first, and of constant second coordinate."""
    left, right, bottom, top = extent
    across, up = torch.linspace(left, right, lines), torch.linspace(bottom, top, lines)
    along_x, along_y = torch.linspace(left, right, POINTS_PER_LINE), torch.linspace(bottom, top, POINTS_PER_LINE)
    horizontal = torch.stack(torch.meshgrid(up, along_x, indexing="ij"), dim=-1).flip(-1)
    return torch.stack(torch.meshgrid(across, along_y, indexing="ij"), dim=-1), horizontal


@torch.no_grad()
def _mapped(function: Callable[[Tensor], Tensor], grid: Tensor) -> Tensor:
    points = grid.reshape(-1, 2)
    image = torch.as_tensor(function(points))
    if image.shape != points.shape:
        raise ValueError(f"a map must keep (N, 2); it gave {list(image.shape)} for {list(points.shape)}")
    return image.detach().cpu().double().reshape(grid.shape)


def _points(samples: Any) -> Tensor:
    points = torch.as_tensor(samples).detach().cpu().double()
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"samples have shape {list(points.shape)}; (N, 2) is needed")
    return points


def _extent_of(points: Tensor) -> Extent:
    """A square around all finite points, with a margin."""
    points = points[points.isfinite().all(dim=1)]
    low, high = points.min(dim=0).values, points.max(dim=0).values
    centre, half = (low + high) / 2, float((high - low).max()) * 0.53 or 1.0
    return (float(centre[0]) - half, float(centre[0]) + half, float(centre[1]) - half, float(centre[1]) + half)


def _square_panels(count: int) -> tuple[ShownFigure, list[Axes]]:
    figure, all_axes = new_figure(PANEL * count + 0.8, PANEL + 0.4, columns=count, sharey=True)
    for axes in all_axes:
        axes.set_aspect("equal")
        axes.grid(False)
    return figure, all_axes


def _frame(axes: Axes, extent: Extent) -> None:
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])


def _suptitle(figure: ShownFigure, title: str, sets: Mapping[str, Any]) -> None:
    if title and "" not in sets:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
