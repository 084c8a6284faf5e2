"""From solution.py to what students get: reference and starter notebooks, leak gate, student bundle."""

from autograder.build.regions import BuildError
from autograder.build.source import reference_notebook

__all__ = ["BuildError", "reference_notebook"]
