"""The main job on a class that is made up: release, thirty submissions, collect, grade, feedback."""

from autograder.demo.run import run

__all__ = ["run"]
