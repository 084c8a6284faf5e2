"""Losses, other lines and bars, each labelled where it stands."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from common.plotting.style import CYCLE, DASHES, GREY, finish, label_ends, new_figure, panels, styled
from common.training import History

WIDTH, HEIGHT = 6.4, 3.2
MOST_TICKS = 10  # more values of x than these get ticks at powers of ten
MOST_BARS_APART = 32
MOST_MARKERS = 40  # with more points than these a line goes without markers, which would hide it
End = tuple[float, str, str]  # where a line ends: its height, label and colour


@styled
def plot_losses(
    history: History | Mapping[str, History | Sequence[float]] | Sequence[float],
    *,
    floor: float | Mapping[str, float] | None = None,
    scale: float = 1.0,
    ylabel: str = "loss (nats)",
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw training losses (faint, with a running mean), validation values (dots) and dashed floors.

    history: one run, a plain list of losses, or several by label. floor: the best value that could be reached, or
    several by label (such as {"entropy of the data": 2.1, "uniform": 2.0}); default the history's own.
    scale: every loss and floor that a history holds is multiplied by it, e.g. 1 / (D ln 2) from nats to bits/dim;
    a `floor` given here is in the units of the drawing.
    """
    runs = {label: run if isinstance(run, History) else History(losses=list(run))
            for label, run in panels(history).items()}
    figure, (axes,) = new_figure(WIDTH, HEIGHT)
    ends = []
    for i, (label, run) in enumerate(runs.items()):
        ends += _draw_run(axes, label, run, scale, CYCLE[i % len(CYCLE)])
    floors = _floors(floor, runs, scale)
    _limit(axes, [np.asarray(run.losses) * scale for run in runs.values()], list(floors.values()))
    ends += _draw_floors(axes, floors)
    axes.set(xlabel="step", ylabel=ylabel, title=title)
    label_ends(axes, ends)
    words = [f"{label or 'training'} ends at {_mean(run.losses[-20:]) * scale:.3g}" for label, run in runs.items()]
    words += [f"{label} at {value:.3g}" for label, value in floors.items()]
    return finish(figure, f"{title or 'Losses'}: {ylabel} over steps. {'; '.join(words)}.", name)


@styled
def plot_lines(
    x: Sequence[float] | Tensor,
    lines: Mapping[str, Sequence[float] | Tensor],
    *,
    xlabel: str,
    ylabel: str,
    spread: Mapping[str, Sequence[float] | Tensor] | None = None,
    floor: float | Mapping[str, float] | None = None,
    log: str = "",
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw lines over the same x (N,), each with its label at its end; dashed floors as in `plot_losses`.

    spread: plus or minus so much, by label, such as a standard deviation over seeds. log: axes with a logarithmic
    scale, "", "x", "y" or "xy".
    """
    x = _array(x)
    figure, (axes,) = new_figure(WIDTH, HEIGHT)
    ends = []
    for i, (label, values) in enumerate(lines.items()):
        y, color = _array(values), CYCLE[i % len(CYCLE)]
        marker = "osD^"[i % 4] if len(x) <= MOST_MARKERS else ""
        axes.plot(x, y, color=color, linestyle=DASHES[i % len(DASHES)], marker=marker, markersize=4)
        if spread and label in spread:
            deviation = _array(spread[label])
            axes.fill_between(x, y - deviation, y + deviation, color=color, alpha=0.2, linewidth=0)
        ends.append((y[-1], label, color))
    ends += _draw_floors(axes, _floors(floor, {}, 1.0))
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    if "x" in log and len(x) <= MOST_TICKS:
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    label_ends(axes, ends)
    words = "; ".join(f"{label} from {_array(v)[0]:.3g} to {_array(v)[-1]:.3g}" for label, v in lines.items())
    return finish(figure, f"{title or ylabel}: {ylabel} over {xlabel}. {words}.", name)


@styled
def plot_bars(
    values: Mapping[str, Sequence[float] | Tensor] | Sequence[float] | Tensor,
    *,
    categories: Sequence[str] | None = None,
    xlabel: str = "level",
    ylabel: str = "probability",
    title: str = "",
    name: str | None = None,
) -> Figure:
    """Draw one value per category (K,), such as probabilities of levels: the first as bars, the others as steps over
    them, so that a model is compared with the data. categories: names under the bars, default 0..K-1."""
    groups = {label: _array(v) for label, v in panels(values).items()}
    size = len(next(iter(groups.values())))
    x = np.arange(size)
    figure, (axes,) = new_figure(WIDTH, HEIGHT)
    (first, heights), *others = groups.items()
    shown = [axes.bar(x, heights, width=0.8 if size <= MOST_BARS_APART else 1.0, color="#C9C9C9", label=first)]
    for (label, heights), color, dashes in zip(others, cycle(CYCLE), cycle(DASHES)):
        edges = np.arange(size + 1) - 0.5
        shown.append(axes.stairs(heights, edges, color=color, linestyle=dashes, linewidth=1.8, label=label))
    if categories is not None:
        axes.set_xticks(x, [str(c) for c in categories])
    if len(groups) > 1:
        axes.legend(handles=shown)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    words = "; ".join(f"{label or ylabel} is largest at {categories[i] if categories else i}, {h[i]:.3g}"
                      for label, h in groups.items() for i in [int(h.argmax())])
    return finish(figure, f"{title or ylabel}: {ylabel} for {size} values of {xlabel}. {words}.", name)


def running_mean(values: Sequence[float], width: int) -> np.ndarray:
    """The mean of each value and its neighbours, up to width // 2 on either side; same length, exact at the ends."""
    values = np.asarray(values, dtype=float)
    total = np.concatenate([[0.0], np.cumsum(values)])
    position = np.arange(len(values))
    first, last = np.maximum(position - width // 2, 0), np.minimum(position + width // 2 + 1, len(values))
    return (total[last] - total[first]) / (last - first)


def _draw_run(axes: Axes, label: str, run: History, scale: float, color: str) -> list[End]:
    """Draw one run; with several runs only the value to compare is labelled, the validation's where there is one."""
    if not run.losses:
        raise ValueError(f"the history {label!r} has no losses; was it trained?")
    losses = np.asarray(run.losses) * scale
    smooth = running_mean(losses, max(1, len(losses) // 50))
    axes.plot(run.steps, losses, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(run.steps, smooth, color=color)
    ends = [(smooth[-1], f"{label or 'training'} {smooth[-1]:.3g}", color)]
    if run.validation:
        validation = np.asarray(run.validation) * scale
        axes.plot(run.validation_steps, validation, linestyle="none", marker="o", markersize=5, color=color,
                  markeredgecolor="white", clip_on=False, zorder=3)
        end = (validation[-1], f"{label or 'validation'} {validation[-1]:.3g}", color)
        ends = [end] if label else [*ends, end]
    return ends


def _draw_floors(axes: Axes, floors: Mapping[str, float]) -> list[End]:
    for value in floors.values():
        axes.axhline(value, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2)
    return [(value, f"{label} {value:.3g}", GREY) for label, value in floors.items()]


def _floors(floor: float | Mapping[str, float] | None, runs: Mapping[str, History], scale: float) -> dict[str, float]:
    if floor is None:
        own = {f"floor of {label}": run.floor * scale for label, run in runs.items() if run.floor is not None}
        return own if len(set(own.values())) > 1 else dict(zip(["floor"], own.values()))
    return {label or "floor": float(value) for label, value in panels(floor).items()}


def _limit(axes: Axes, losses: list[np.ndarray], floors: list[float]) -> None:
    """The first steps may be far above the rest; they must not press the rest onto the axis."""
    late = np.concatenate([values[len(values) // 20:] for values in losses])
    low, high = min([late.min(), *floors]), max([np.quantile(late, 0.995), *floors])
    margin = 0.08 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + 2 * margin)
    axes.set_xlim(0, max(len(values) for values in losses))


def _array(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().double().numpy()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
