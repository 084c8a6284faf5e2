"""Figures in one style: readable with any colour vision, labelled where the eye is, described in words.

Every function returns the figure, shows it in a notebook, and saves it to figures/<name>.png when a name is given.
"""

from common.plotting.curves import plot_bars, plot_lines, plot_losses
from common.plotting.images import image_grid, show_images, show_mask
from common.plotting.planes import plot_density_2d, plot_map_2d, plot_samples_2d, plot_trajectories
from common.plotting.style import COLORS, use_style

__all__ = ["COLORS", "image_grid", "plot_bars", "plot_density_2d", "plot_lines", "plot_losses", "plot_map_2d",
           "plot_samples_2d", "plot_trajectories", "show_images", "show_mask", "use_style"]
