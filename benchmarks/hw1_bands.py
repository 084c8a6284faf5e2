"""Train HW1's reference experiments over several seeds: the numbers behind the bands that the handout states.

    python -m benchmarks.hw1_bands e1_fashion_pixelcnn --seeds 5

runs the experiment's own cell at the preset in PRESET, once per seed, in a scratch folder, and prints one line per seed
(training time, cost on the embedded test set and on the hidden images), then mean and standard deviation.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from autograder.build.source import question_of, reference_notebook, tag_of
from autograder.course import Homework, load_course
from common.data import to_levels

EXPERIMENTS = ("e1_fashion_pixelcnn", "e2_avatar_gpt")


def definitions(homework: Homework, data: Sequence[str] = ("SEED =",)) -> dict[str, Any]:
    """The notebook's names before the experiments: set-up, every answer, and experiment cells that hold a text of `data`."""
    scope: dict[str, Any] = {}
    for cell in reference_notebook(homework).cells:
        is_answer = cell.id == question_of(cell) and question_of(cell)[0] in "tq"
        is_data = tag_of(cell) == "experiment" and any(text in cell.source for text in data)
        if cell.cell_type == "code" and (tag_of(cell) == "setup" or is_answer or is_data):
            exec(compile(cell.source, cell.id, "exec"), scope)
    return scope


def hidden(homework: Homework, experiment: str, scope: dict[str, Any]) -> Tensor:
    """The hidden images as the experiment's loss takes them."""
    if experiment.startswith("e1"):
        with np.load(homework.heldout / "fashion.npz") as arrays:
            return to_levels(torch.from_numpy(arrays["images"]), 4)
    with np.load(homework.heldout / "avatars.npz") as arrays:
        classes = scope["PALETTE"] + torch.from_numpy(arrays["hair_color"])[:, None]
        return torch.cat([classes, torch.from_numpy(arrays["tokens"])], dim=1)


@torch.no_grad()
def cost(scope: dict[str, Any], prefix: str, data: Tensor) -> float:
    """Mean loss of the trained model in bits per dimension or token."""
    loss, model = scope[f"{prefix}_loss"], scope[f"{prefix}_model"]
    return sum(float(loss(model, x.to(scope["DEVICE"]))) * len(x) for x in data.split(100)) / len(data)


def run(homework: Homework, experiment: str, seed: int) -> tuple[float, float, float]:
    """(seconds of training, cost on the test set, cost on the hidden images) for one seed."""
    scope = definitions(homework) | {"SEED": seed}
    source = next(cell.source for cell in reference_notebook(homework).cells if cell.id == experiment)
    exec(compile(source, experiment, "exec"), scope)
    prefix = experiment.split("_")[0]
    test = scope["fashion_test"] if prefix == "e1" else scope["test_sequences"]
    costs = cost(scope, prefix, test), cost(scope, prefix, hidden(homework, experiment, scope))
    return scope[f"{prefix}_history"].seconds, *costs


def summarise(labels: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    """Print mean, standard deviation and maximum of each column; one row per seed."""
    for label, values in zip(labels, zip(*rows)):
        spread = stdev(values) if len(values) > 1 else 0.0
        print(f"{label}: mean {mean(values):.4f}, standard deviation {spread:.4f}, max {max(values):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed; to go on after an interrupted run")
    arguments = parser.parse_args()
    homework = load_course().homework("hw1")
    mpl.use("agg")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(Path(scratch))
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            rows.append(run(homework, arguments.experiment, seed))
            print(f"seed {seed}: {rows[-1][0]:.0f} s, test {rows[-1][1]:.4f}, hidden {rows[-1][2]:.4f}", flush=True)
    summarise(("seconds", "test", "hidden"), rows)


if __name__ == "__main__":
    main()
