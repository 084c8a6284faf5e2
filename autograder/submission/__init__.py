"""Pre-flight: what a student handed in, repaired as far as that is possible, and what a person must look at."""

from autograder.submission.model import Cell, Submission
from autograder.submission.preflight import read_submission

__all__ = ["Cell", "Submission", "read_submission"]
