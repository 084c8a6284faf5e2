"""The leak gate finds a planted leak of every kind, names its place, and is silent on what students may see."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pytest
from safetensors.numpy import save_file

from autograder.build import LeakError, build, inspect, reference_notebook, release
from autograder.build.matching import Public
from autograder.build.regions import find_regions
from autograder.build.secrets import gather
from autograder.course import Course, load_course

SOLUTION = "hw1_counting/solution.py"


def plant(course: Course, file: str, old: str, new: str) -> None:
    path = course.root / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} must stand in {file} once"
    path.write_text(text.replace(old, new), encoding="utf-8")


@dataclass(frozen=True)
class Leak:
    """A leak in the sources: after `anchor` in `file`, `text` is added. Found in `place`, with these words."""

    text: str
    what: str
    place: str = "hw1.ipynb, cell experiment-1"
    file: str = SOLUTION
    anchor: str = "history = [1.0, 0.5]"


def in_prose(text: str, what: str) -> Leak:
    """The leak as prose of the opening cell."""
    return Leak("\n# " + text, what, "hw1.ipynb, cell prose-1", anchor="# Goals: to count.")


def in_library(text: str, what: str) -> Leak:
    return Leak("\n" + text, what, "common/counting.py", "common/counting.py", "    return x")


def in_readme(text: str, what: str) -> Leak:
    return Leak("\n" + text, what, "README.md", "hw1_counting/README.md", "What it teaches: counting.")


ROOM = (
    "if num_levels<1:\n  raise ValueError(f'need at least one level, got {num_levels}')\nself.counts = [0] * num_levels"
)
WALK = "each element receives one label and no label is used twice"
LEAKS = {
    "whole solution region": Leak("\n" + ROOM, "copies the solution of q1_counter"),
    "solution as a comment": Leak("\n# " + ROOM.replace("\n", "\n# "), "copies the solution of q1_counter"),
    "solution in prose": in_prose("`" + ROOM.replace("\n", "`\n# `") + "`", "copies the solution of q1_counter"),
    "solution in the library": in_library(ROOM, "copies the solution of q1_counter"),
    "one long line of a solution": Leak(
        "\ntrained = LevelCounter(num_levels=len(history) + 5).frequencies([int(value) for value in history])",
        "copies the solution of e1_train",
    ),
    "written answer": in_prose(f"Perhaps {WALK}.", "copies the solution of w1_why"),
    "answer assigned in a plain cell": Leak("\nt1_pairs_of_300 = 7", "gives the answer t1_pairs_of_300"),
    "answer assigned in a tuple": Leak("\na, t1_pairs_of_300 = 1, 2", "gives the answer t1_pairs_of_300"),
    "answer in a comment": Leak("  # t1_pairs_of_300 = 7", "gives the answer t1_pairs_of_300"),
    "answer in prose": in_prose("Set `t1_pairs_of_300 = 7`.", "gives the answer t1_pairs_of_300"),
    "answer as a bare number": in_prose("There are 44,850 of them.", "gives the answer t1_pairs_of_300"),
    "answer in the README": in_readme("There are 44850 of them.", "gives the answer t1_pairs_of_300"),
    "hidden check": Leak(
        "\nvalues = draw_levels(rng, upper=5, size=40, without=(1, 3))",
        "copies the hidden check test_q1_counter.py",
    ),
    "sentence of a hidden check": Leak(
        '\nassert history, "levels without values were dropped: which length is asked?"',
        "copies the hidden check test_q1_counter.py",
    ),
    "name of a hidden check": in_prose("See test_unseen_levels_stay.", "(test_unseen_levels_stay)"),
    "form of a hidden check": Leak("\ndef test_x(student, rng): ...", "staff's checks, mutants or variants"),
    "staff's library": Leak("\nfrom autograder.checking import weight", "staff's checks, mutants or variants"),
    "key of the rubric": in_prose(
        "Counting matches every thing with exactly\n# one number, so there.", "copies the rubric of w1_why"
    ),
    "criterion of the rubric": in_readme(
        "A full answer names the finite set and the bijection that counting builds.", "copies the rubric of w1_why"
    ),
    "what is commonly missed": in_library(
        "# says only that numbers are ordered, which is true of the reals", "copies the rubric of w1_why"
    ),
    "mutant": Leak(
        "\nseen = sorted(set(values), key=values.index, reverse=False)\n"
        "shares = [values.count(level) / len(values) for level in seen if level < self.num_levels]",
        "copies mutants/q1_counter__drops.py",
    ),
    "id of a mutant": Leak("  # like H1-X01", "(H1-X01)"),
    "misspelt begin": Leak("\n### BEGIN SOLUTON\nx = 1", "left of a marker: '### BEGIN SOLUTON'"),
    "bare end": Leak("\n### END", "left of a marker: '### END'"),
    "hidden tests": Leak("\n### BEGIN HIDDEN TESTS\nx = 1\n### END HIDDEN TESTS", "BEGIN HIDDEN TESTS"),
    "mark scheme": in_prose("### BEGIN MARK SCHEME", "left of a marker: '### BEGIN MARK SCHEME'"),
    "end in the library": in_library("# END SOLUTIONS", "left of a marker"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_in_the_sources_stops_the_release(small_course: Course, tmp_path: Path, name: str):
    leak = LEAKS[name]
    plant(small_course, leak.file, leak.anchor, leak.anchor + leak.text)
    build(small_course)
    with pytest.raises(LeakError) as caught:
        release(small_course, small_course.homework("hw1"), tmp_path / "out")
    assert any(
        str(finding).startswith(leak.place + ": ") and leak.what in finding.what for finding in caught.value.findings
    )
    assert all(str(finding) in str(caught.value) for finding in caught.value.findings)
    assert not list((tmp_path / "out").glob("*")), "nothing is left behind"
    assert not (small_course.work / "release").exists()


# Leaks that the builder can't make, planted in a finished bundle


def edit_cell(bundle: Path, cell_id: str, change: Callable[[nbformat.NotebookNode], object]) -> None:
    path = bundle / "hw1.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(next(cell for cell in notebook.cells if cell.id == cell_id))
    path.write_text(json.dumps(notebook), encoding="utf-8")


def output(cell: nbformat.NotebookNode) -> None:
    cell.outputs = [nbformat.v4.new_output("stream", text="44850")]


def save_heldout(course: Course, bundle: Path) -> None:
    """Two held-out images among many new ones, in another shape and type."""
    with np.load(course.root / "hw1_counting/heldout/tiny.npz") as data:
        kept = data["images"][3:5].reshape(2, 64).astype(np.float32)
    rows = np.concatenate([np.random.default_rng(1).integers(0, 256, (5, 64)).astype(np.uint8), kept.astype(np.uint8)])
    np.savez(bundle / "common/data/assets/more.npz", extra=rows)


BUNDLE_LEAKS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "output": (lambda b: edit_cell(b, "check_t1_pairs", output), "hw1.ipynb", "has outputs"),
    "execution count": (
        lambda b: edit_cell(b, "q1_counter", lambda c: c.update(execution_count=3)), "hw1.ipynb", "an execution count",
    ),
    "attachment": (
        lambda b: edit_cell(b, "prose-1", lambda c: c.update(attachments={"a.png": {"image/png": "aGk="}})),
        "hw1.ipynb", "has attachments",
    ),
    "cell metadata": (
        lambda b: edit_cell(b, "q1_counter", lambda c: c.metadata.update(answer="C")), "hw1.ipynb", "metadata.answer",
    ),
    "nbgrader metadata": (
        lambda b: edit_cell(b, "q1_counter", lambda c: c.metadata.nbgrader.update(key="C")),
        "hw1.ipynb", "nbgrader.key",
    ),
    "metadata of another type": (
        lambda b: edit_cell(b, "q1_counter", lambda c: c.metadata.update(deletable={"t1": 3})),
        "hw1.ipynb", "metadata.deletable",
    ),
    "answer in a tag": (
        lambda b: edit_cell(b, "q1_counter", lambda c: c.metadata.update(tags=["it is C"])), "hw1.ipynb", "it is C",
    ),
    "broken notebook": (lambda b: (b / "hw1.ipynb").write_text("{"), "hw1.ipynb", "is no notebook"),
    "byte code": (lambda b: (b / "common/solution.pyc").write_bytes(b"x"), "common/solution.pyc", "unexpected file"),
    "the source": (lambda b: (b / "solution.py").write_text(""), "solution.py", "unexpected file"),
    "staff-only module": (
        lambda b: (b / "common/grading_net.py").write_text(""), "common/grading_net.py", "unexpected file",
    ),
    "git folder": (
        lambda b: ((b / ".git").mkdir(), (b / ".git/config").write_text("")), ".git/config", "unexpected file",
    ),
    "other notebook": (lambda b: shutil.copy(b / "hw1.ipynb", b / "hw2.ipynb"), "hw2.ipynb", "unexpected file"),
    "figure that no text shows": (
        lambda b: (b / "figures/answer.png").write_text(""), "figures/answer.png", "unexpected file",
    ),
    "link to a file": (lambda b: (b / "common/more.py").symlink_to("/etc/hostname"), "common/more.py", "is a link"),
    "link to a folder": (lambda b: (b / "common/etc").symlink_to("/etc"), "common/etc", "is a link"),
    "pipe": (lambda b: os.mkfifo(b / "common/pipe.py"), "common/pipe.py", "no plain file"),
    "text that is no UTF-8": (lambda b: (b / "common/more.py").write_bytes(b"\xff\xfe"), "common/more.py", "no UTF-8"),
    "damaged data": (
        lambda b: (b / "common/data/assets/more.npz").write_bytes(b"x"), "common/data/assets/more.npz", "can't be read",
    ),
    "pickled data": (
        lambda b: np.savez(b / "common/data/assets/more.npz", a=np.array([{}])),
        "common/data/assets/more.npz", "can't be read",
    ),
    "array by name": (
        lambda b: np.savez(b / "common/data/assets/more.npz", heldout_images=np.arange(9)),
        "common/data/assets/more.npz", "has an array named heldout_images",
    ),
}  # fmt: skip


@pytest.fixture
def bundle(small_course: Course, tmp_path: Path) -> Path:
    release(small_course, small_course.homework("hw1"), tmp_path / "out")
    return tmp_path / "out" / "hw1"


@pytest.mark.parametrize("name", BUNDLE_LEAKS)
def test_a_leak_in_the_bundle_is_found(small_course: Course, bundle: Path, name: str):
    change, file, what = BUNDLE_LEAKS[name]
    change(bundle)
    findings = inspect(bundle, small_course, small_course.homework("hw1"))
    assert any(finding.file == file and what in finding.what for finding in findings), list(map(str, findings))
    assert {finding.file for finding in findings} == {file}, "and nothing else is accused"
    assert all(finding.todo for finding in findings)


def test_heldout_rows_are_found_by_content(small_course: Course, bundle: Path):
    save_heldout(small_course, bundle)
    findings = inspect(bundle, small_course, small_course.homework("hw1"))
    assert [finding.what for finding in findings] == [
        "holds 2 row(s) of the staff's heldout/tiny.npz in its array extra"
    ]


def test_weights_of_the_grader_are_found_by_content(small_course: Course, bundle: Path):
    weights = {"conv": np.random.default_rng(2).normal(size=(4, 3, 3)).astype(np.float32)}
    (small_course.root / "autograder").mkdir()
    save_file(weights, small_course.root / "autograder/net.safetensors")
    save_file({"renamed": weights["conv"]}, bundle / "common/data/assets/features.safetensors")
    findings = inspect(bundle, small_course, small_course.homework("hw1"))
    assert ["autograder/net.safetensors" in finding.what for finding in findings] == [True]


def test_the_clean_bundle_passes(small_course: Course, bundle: Path):
    assert inspect(bundle, small_course, small_course.homework("hw1")) == []


def test_every_solution_region_of_the_real_homework_is_known_again():
    """Pasted whole into a cell between other lines, each region of hw1 is found, commented out as well."""
    homework = load_course().homework("hw1")
    secrets = gather(homework)
    for cell in reference_notebook(homework).cells:
        for region in find_regions(cell.source, cell.id):
            for prefix in ("", "# "):
                text = "\n".join(["given = 1", *(prefix + line for line in region.lines), "more = 2"])
                public = Public(text)
                found = [secret.owner for secret in (*secrets.code, *secrets.prose) if secret.copied(public)]
                assert found or secrets.answers.given_by(text) or not any(region.lines), f"{cell.id}: {region.lines}"
