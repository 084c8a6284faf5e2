"""From solution.py to what students get: notebooks, generated files, leak gate, student bundle."""

from autograder.build.bundle import release
from autograder.build.gate import Finding, LeakError, inspect
from autograder.build.outputs import build, out_of_step
from autograder.build.regions import BuildError
from autograder.build.source import reference_notebook
from autograder.build.strip import starter_notebook

__all__ = [
    "BuildError",
    "Finding",
    "LeakError",
    "build",
    "inspect",
    "out_of_step",
    "reference_notebook",
    "release",
    "starter_notebook",
]
