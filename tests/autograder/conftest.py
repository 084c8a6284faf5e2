"""A small course in a temporary folder: one homework with a question of every kind, and all that surrounds it."""

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from autograder.build import build
from autograder.course import Course, load_course

FILES = {
    "course.toml": """
        code = "AI 1"
        timezone = "Asia/Seoul"
        [homeworks.hw1]
        folder = "hw1_counting"
        released = 2024-03-11T09:00:00
        due = 2024-03-24T23:59:59
        """,
    "pyproject.toml": """
        [project]
        dependencies = ["numpy==2.4.6"]
        [project.optional-dependencies]
        staff = ["nbgrader==0.9.6"]
        dev = ["ruff==0.17.6"]
        """,
    "common/__init__.py": '''
        """What students import."""
        ''',
    "common/counting.py": '''
        """Ordinary library code."""

        def total(x):
            return x
        ''',
    "common/data/assets/LICENSES.md": "All rows: CC0\n",
    "hw1_counting/README.md": """
        # HW1 for the staff

        What it teaches: counting. ![a bar chart](figures/bars.png)

        ## Questions

        <!-- questions -->
        <!-- /questions -->

        <!-- staff -->
        Bands were measured on the reference.
        <!-- /staff -->
        """,
    "hw1_counting/figures/bars.png": "not really a picture\n",
    "hw1_counting/rubric.toml": """
        title = "Counting"
        [t1_pairs]
        title = "Pairs"
        points = 10
        minutes = 5
        [q1_counter]
        title = "A counter"
        points = 50
        minutes = 90
        [w1_why]
        title = "Why counting works"
        points = 20
        minutes = 25
        criteria = [{ points = 20, what = "names the finite set and the bijection that counting builds" }]
        key = "Counting matches every thing with exactly one number, so the last number spoken is the size of the set."
        missed = "says only that numbers are ordered, which is true of the reals as well and proves nothing"
        [e1_train]
        title = "Training"
        points = 10
        [r_report]
        title = "Report"
        points = 10
        criteria = [{ points = 10, what = "every claim is tied to a figure or to a number beside it" }]
        """,
    "hw1_counting/solution.py": '''
        # %% [markdown]
        # # Counting
        #
        # Goals: to count.

        # %% tags=["setup"]
        from collections import Counter

        # %% [markdown]
        # ## T1 Pairs
        # How many pairs has a set of 300 things? Set `t1_pairs_of_300 = ...`.

        # %% tags=["t1_pairs"]
        ### BEGIN SOLUTION: t1_pairs_of_300 = ... (an int)
        things = 300
        t1_pairs_of_300 = things * (things - 1) // 2
        ### END SOLUTION

        # %% tags=["check_t1_pairs"]
        assert isinstance(t1_pairs_of_300, int), "give a whole number"

        # %% [markdown]
        # ## Q1 A counter

        # %% tags=["q1_counter"]
        class LevelCounter:
            """Counts levels 0..num_levels-1."""

            def __init__(self, num_levels):
                self.num_levels = num_levels
                ### BEGIN SOLUTION: make room for "all" levels
                if num_levels < 1:
                    raise ValueError(f"need at least one level, got {num_levels}")
                self.counts = [0] * num_levels
                ### END SOLUTION

            def frequencies(self, values):
                """Shares of the levels, in order."""
                ### BEGIN SOLUTION
                tally = Counter(values)
                return [tally[level] / len(values) for level in range(self.num_levels)]
                ### END SOLUTION

        # %% tags=["check_q1_counter"]
        counter = LevelCounter(3)
        shares = counter.frequencies([0, 2, 2, 2])
        assert shares == [0.25, 0.0, 0.75], "a share is count over N, and 0 for a level that never occurs"

        # %% [markdown] tags=["w1_why"]
        # **Your answer**
        #
        # ### BEGIN SOLUTION: half a page
        # Because each element receives one label and no label is used twice while we walk through the collection.
        # ### END SOLUTION

        # %% tags=["experiment"]
        history = [1.0, 0.5]

        # %% tags=["e1_train"]
        ### BEGIN SOLUTION: train the counter
        trained = LevelCounter(num_levels=len(history) + 5).frequencies([int(value) for value in history])
        ### END SOLUTION

        # %% tags=["check_e1_train"]
        assert len(trained) > 2, "train a counter of more than two levels"

        # %% [markdown] tags=["r_report"]
        # ## Report
        # Every claim is tied to a figure or to a number beside it (10 points).
        #
        # ### BEGIN SOLUTION: one page
        # The counter reached the entropy of its data after two passes and then stayed where it was.
        # ### END SOLUTION
        ''',
    "hw1_counting/checks/test_q1_counter.py": '''
        """The counter returns shares."""

        from autograder.checking import weight

        @weight(3)
        def test_unseen_levels_stay(student, rng):
            """A level that never occurs keeps its place in the list."""
            values = draw_levels(rng, upper=5, size=40, without=(1, 3))
            share = student.LevelCounter(7).frequencies(values)[3]
            assert share == 0, "levels without values were dropped: which length is asked?"
        ''',
    "hw1_counting/mutants/q1_counter__drops.py": '''
        """H1-X01: unseen levels are dropped. Loses: q1_counter."""
        class LevelCounter:
            """Counts levels 0..num_levels-1."""

            def __init__(self, num_levels):
                self.num_levels = num_levels
            def frequencies(self, values):
                seen = sorted(set(values), key=values.index, reverse=False)
                return [values.count(level) / len(values) for level in seen if level < self.num_levels]
        ''',
}  # fmt: skip


@pytest.fixture
def small_course(tmp_path: Path) -> Course:
    """The small course, built. Its term's tree is `course/` beside the sources."""
    return make_course(tmp_path / "repository")


@pytest.fixture(scope="module")
def module_course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The small course for tests that change nothing in it."""
    return make_course(tmp_path_factory.mktemp("small") / "repository")


def make_course(root: Path) -> Course:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    np.savez_compressed(root / "common/data/assets/tiny.npz", images=images[:20])
    (root / "hw1_counting/heldout").mkdir()
    np.savez_compressed(root / "hw1_counting/heldout/tiny.npz", images=images[20:, None].astype(np.int64))
    course = load_course(root, root / "course")
    build(course)
    return course
