"""Train HW2's reference experiments over several seeds: the numbers behind the bands that the handout states.

    python -m benchmarks.hw2_bands e1_density_2d --seeds 5

runs the experiment's own cell at the preset in PRESET, once per seed, in a scratch folder, and prints one line per seed,
then mean and standard deviation: for e1 the nats above the floor of each density, for e2 bits/dim on the test set and
on the hidden images.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch

from autograder.build.source import reference_notebook
from autograder.course import Homework, load_course
from benchmarks.hw1_bands import definitions, summarise

COLUMNS = {
    "e1_density_2d": ("seconds", "checkerboard", "8 Gaussians"),
    "e2_image_flow": ("seconds", "test", "hidden"),
}
DATA = ("SEED =", "def train_2d", "def shrink")
CHUNK = 500


def run(homework: Homework, experiment: str, seed: int) -> tuple[float, ...]:
    """The row of COLUMNS for one seed; seconds are those of all training of the cell."""
    scope = definitions(homework, DATA) | {"SEED": seed}
    source = next(cell.source for cell in reference_notebook(homework).cells if cell.id == experiment)
    exec(compile(source, experiment, "exec"), scope)
    if experiment == "e1_density_2d":
        histories, models = scope["e1_histories"], scope["e1_models"]
        above = [scope["nats_above_floor"](models[label], scope["DENSITIES"][label]) for label in COLUMNS[experiment][1:]]
        return (sum(history.seconds for history in histories.values()), *above)
    with np.load(homework.heldout / "fashion.npz") as arrays:
        hidden = scope["shrink"](torch.from_numpy(arrays["images"]))
    return scope["e2_history"].seconds, bits(scope, scope["fashion_test"]), bits(scope, hidden)


@torch.no_grad()
def bits(scope: dict[str, Any], levels: torch.Tensor) -> float:
    """Mean bits per dimension under the trained image flow, with one draw of noise."""
    loss, model = scope["e2_loss"], scope["e2_model"]
    return sum(float(loss(model, x.to(scope["DEVICE"]))) * len(x) for x in levels.split(CHUNK)) / len(levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", choices=COLUMNS)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    homework, columns = load_course().homework("hw2"), COLUMNS[arguments.experiment]
    mpl.use("agg")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(Path(scratch))
        for seed in range(arguments.seeds):
            rows.append(run(homework, arguments.experiment, seed))
            print(f"seed {seed}: " + ", ".join(f"{c} {v:.4g}" for c, v in zip(columns, rows[-1])), flush=True)
    summarise(columns, rows)


if __name__ == "__main__":
    main()
