"""One look for all figures, and one way to finish them: save, describe, show once."""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

FIGURES = Path("figures")
DOTS_PER_INCH = 150

# Okabe and Ito's colours, told apart with every common colour blindness, those with most contrast on white first.
COLORS = {"blue": "#0072B2", "vermillion": "#D55E00", "green": "#009E73", "black": "#000000", "purple": "#CC79A7",
          "orange": "#E69F00", "sky": "#56B4E9"}
CYCLE = tuple(COLORS.values())
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))  # so that lines differ without colour, too
GREY = "#5F5F5F"
DENSITY_MAP = "cividis"  # made for colour blindness, and even in brightness

STYLE: dict[str, Any] = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": mpl.cycler(color=CYCLE),
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E2E2E2",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "image.cmap": DENSITY_MAP,
    "savefig.dpi": DOTS_PER_INCH,
}


class ShownFigure(Figure):
    """A figure that a notebook shows when it is finished, and not again when it is a cell's last value.

    description: what it shows, in words; saved with the PNG and given to screen readers.
    """

    description: str = ""

    def _ipython_display_(self) -> None:
        if self.stale:  # changed since it was shown: showing it again is what the caller wants
            _show_in_notebook(self)


def use_style() -> None:
    """Give the course's look to figures that are drawn with matplotlib directly. The plots of this package have it."""
    mpl.rcParams.update(STYLE)


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator: the function draws in the course's style, whatever the caller's settings are."""

    @wraps(function)
    def draw(*args: Any, **kwargs: Any) -> Figure:
        with mpl.style.context(["default", STYLE]):
            return function(*args, **kwargs)

    return draw


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1,
               **kwargs: Any) -> tuple[ShownFigure, list[Axes]]:
    """A figure of that size in inches and its axes, row by row; it stays outside pyplot, so nothing shows it twice."""
    figure = ShownFigure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, **kwargs).flat)


def finish(figure: ShownFigure, description: str, name: str | None) -> ShownFigure:
    """Attach the description, save figures/<name>.png when there is a name, and show it in a notebook."""
    figure.description = description
    if name is not None:
        FIGURES.mkdir(parents=True, exist_ok=True)
        _save(figure, FIGURES / f"{name}.png", DOTS_PER_INCH)
    _show_in_notebook(figure)
    figure.stale = False
    return figure


def panels(value: Any) -> dict[str, Any]:
    """One thing to draw becomes {"": thing}; a mapping from titles to things stays as it is."""
    return dict(value) if isinstance(value, Mapping) else {"": value}


def listing(names: list[str]) -> str:
    """Names for a description: "data, model" or nothing for the empty title."""
    return ", ".join(name for name in names if name)


def label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write labels (y, text, colour) right of the axes at their heights, moved apart where they would overlap.

    A label beside its line is found without matching colours in a legend.
    """
    axes.figure.canvas.draw()  # fixes the scales, so that positions on paper are known
    gap = 1.25 * mpl.rcParams["font.size"] * axes.figure.dpi / 72 / axes.get_window_extent().height
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = sorted(ends, key=lambda end: end[0])
    heights = spread_apart([float(to_axes.transform((1.0, y))[1]) for y, _, _ in ends], gap)
    for height, (_, text, color) in zip(heights, ends):
        axes.text(1.02, height, text, color=readable(color), transform=axes.transAxes, va="center",
                  clip_on=False)


def readable(color: str) -> str:
    """The colour, darkened until text in it has a contrast of 4.5 to white (WCAG 2.1, 1.4.3), as a hex string."""
    rgb = np.array(to_rgb(color))
    while contrast_to_white(rgb) < 4.5:
        rgb = rgb * 0.95
    return to_hex(rgb)


def contrast_to_white(rgb: np.ndarray) -> float:
    """Contrast ratio to white of an sRGB colour (3,) in [0, 1], from 1 (white) to 21 (black), as WCAG 2.1 defines it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 1.05 / (float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)


def spread_apart(positions: list[float], gap: float) -> list[float]:
    """Sorted positions moved as little as need be so that neighbours are at least `gap` apart.

    Neighbours that are too close form a block around their mean; blocks that then touch are joined.
    """
    blocks: list[list[float]] = []
    for position in positions:
        blocks.append([position])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _bottom(blocks[-1], gap):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [_bottom(block, gap) + i * gap for block in blocks for i in range(len(block))]


def _bottom(block: list[float], gap: float) -> float:
    return sum(block) / len(block) - (len(block) - 1) * gap / 2


def _top(block: list[float], gap: float) -> float:
    return _bottom(block, gap) + (len(block) - 1) * gap


def _show_in_notebook(figure: ShownFigure) -> None:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return
    from IPython.display import Image, display  # only where a notebook has loaded it already

    buffer = BytesIO()
    _save(figure, buffer, STYLE["figure.dpi"])
    display(Image(buffer.getvalue(), alt=figure.description))


def _save(figure: ShownFigure, target: Path | BytesIO, dots_per_inch: int) -> None:
    figure.savefig(target, format="png", dpi=dots_per_inch, bbox_inches="tight", pad_inches=0.05,
                   metadata={"Description": figure.description})
