"""Grids of images: bytes, levels or palette tokens, drawn without smoothing."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from common.plotting.style import COLORS, finish, new_figure, styled

WIDTH = 7.0
GAP = 1  # white pixels between images


def to_rgb(images: Tensor, num_levels: int | None = None, palette: Tensor | None = None) -> Tensor:
    """Images of any of the course's kinds as uint8 (N, H, W, 3).

    images (N, C, H, W) or (N, H, W), C = 1 or 3: uint8; floats in [0, 1], clipped; or with num_levels integer levels
    0..num_levels-1, shown from black to white. With palette (P, 3) uint8: integer tokens (N, H, W) or (N, 1, H, W).
    Raises ValueError for another shape or values outside the range.
    """
    images = torch.as_tensor(images).detach().cpu()
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images have shape {list(images.shape)}; (N, H, W) or (N, C, H, W) with C = 1 or 3 is needed")
    if palette is not None:
        if images.shape[1] != 1:
            raise ValueError("tokens of a palette have one channel")
        _check_range(images, len(palette), "a token")
        return torch.as_tensor(palette).cpu().to(torch.uint8)[images[:, 0].long()]
    if num_levels is not None:
        _check_range(images, num_levels, "a level")
        images = (images.double() * 255 / (num_levels - 1)).round().to(torch.uint8)
    elif images.is_floating_point():
        images = (images.double().nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)
    elif images.dtype != torch.uint8:
        raise ValueError(f"images are {images.dtype}; say num_levels= for levels or palette= for tokens")
    return images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)


def image_grid(images: Tensor, columns: int, num_levels: int | None = None, palette: Tensor | None = None) -> Tensor:
    """The images row by row in one uint8 picture (height, width, 3), one white pixel apart. Arguments as `to_rgb`."""
    pictures = to_rgb(images, num_levels, palette)
    count, height, width, _ = pictures.shape
    rows = math.ceil(count / columns)
    grid = torch.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=torch.uint8)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        grid[top:top + height, left:left + width] = picture
    return grid


@styled
def show_images(
    images: Tensor,
    *,
    columns: int | None = None,
    num_levels: int | None = None,
    palette: Tensor | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw images in a grid and save it to figures/<name>.png.

    images, num_levels, palette: see `to_rgb`. columns: default about square, at most 16. row_labels and column_labels
    stand beside the rows and above the columns, such as temperatures or classes. Raises ValueError as `to_rgb` does.
    """
    columns = columns or min(16, math.ceil(math.sqrt(len(images))))
    picture = image_grid(images, columns, num_levels, palette)
    rows = math.ceil(len(images) / columns)
    if row_labels is not None and len(row_labels) != rows:
        raise ValueError(f"{len(row_labels)} row labels for {rows} rows")
    if column_labels is not None and len(column_labels) != columns:
        raise ValueError(f"{len(column_labels)} column labels for {columns} columns")
    width = min(WIDTH, 0.8 * columns + 0.4)
    above = 0.25 * bool(title) + 0.25 * (column_labels is not None)
    figure, (axes,) = new_figure(width, width * picture.shape[0] / picture.shape[1] + above)
    axes.imshow(picture.numpy())
    _ticks(axes.set_yticks, row_labels, images.shape[-2])
    _ticks(axes.set_xticks, column_labels, images.shape[-1])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    axes.set_title(title)
    labels = "".join(f"; {kind}: {', '.join(map(str, texts))}" for kind, texts in
                     (("rows", row_labels), ("columns", column_labels)) if texts is not None)
    return finish(figure, f"{title or 'Images'}: {len(images)} images in {rows} rows{labels}.", name)


@styled
def show_mask(
    mask: Tensor | dict[str, Tensor], *, row: int | None = None, column: int | None = None, unit: str = "pixels",
    title: str = "", name: str | None = None,
) -> Figure:
    """Draw boolean maps (H, W), such as a receptive field, or several by title, and mark the pixel (row, column).

    unit: what an entry stands for, in words; "" leaves the number of True entries out of the titles.
    """
    masks = mask if isinstance(mask, dict) else {"": mask}
    height, width = next(iter(masks.values())).shape
    size = min(3.2, WIDTH / len(masks))
    figure, all_axes = new_figure(size * len(masks), size * height / width + 0.4, columns=len(masks))
    shades = np.array([[240, 240, 240], [0, 114, 178]], dtype=np.uint8)  # light grey, and COLORS["blue"]
    for axes, (label, values) in zip(all_axes, masks.items()):
        axes.imshow(shades[torch.as_tensor(values).cpu().long().numpy()])
        if row is not None and column is not None:
            axes.plot(column, row, marker="X", color=COLORS["vermillion"], markeredgecolor="white", markersize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.grid(False)
        axes.set_title(f"{label} ({int(values.sum())} {unit})" if label and unit else label or title)
    if title and "" not in masks:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    counts = "; ".join(f"{label or 'set'}: {int(values.sum())} of {height * width} {unit}".rstrip()
                       for label, values in masks.items())
    return finish(figure, f"{title or 'Map of pixels'}. {counts}.", name)


def _ticks(set_ticks, labels: Sequence[str] | None, size: int) -> None:
    positions = [] if labels is None else [i * (size + GAP) + (size - 1) / 2 for i in range(len(labels))]
    set_ticks(positions, [] if labels is None else [str(label) for label in labels])


def _check_range(images: Tensor, count: int, what: str) -> None:
    if images.is_floating_point():
        raise ValueError(f"{what} is an integer; the images are {images.dtype}")
    if images.numel() and not 0 <= int(images.min()) <= int(images.max()) < count:
        raise ValueError(f"{what} lies in 0..{count - 1}; the images have {int(images.min())}..{int(images.max())}")
