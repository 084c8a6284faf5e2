"""Thirty made-up students and what each hands in: good, partial, wrong, late, damaged and hostile work."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.audit import changed
from autograder.course import Homework
from autograder.demo.hostile import ATTACKS

Files = dict[str, bytes]
PICKLE = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."  # runs a command in whoever loads it


@dataclass(frozen=True)
class Handed:
    """One submission: who, what it is in a few words, its files, how long before (+) or after (-) the deadline."""

    user: str
    what: str
    files: Files
    early: timedelta = timedelta(hours=5)
    earlier_attempts: tuple[Files, ...] = field(default=())


@dataclass(frozen=True)
class Material:
    """What submissions are made from."""

    homework: Homework
    reference: NotebookNode
    starter: NotebookNode

    def files(self, notebook: NotebookNode, checkpoints: bool = True) -> Files:
        """A submission's files: the notebook, and the trained models if wanted."""
        found = {f"{self.homework.name}.ipynb": nbformat.writes(notebook).encode()}
        if checkpoints:
            for path in sorted(self.homework.checkpoints.glob("*.safetensors")):
                found[f"artifacts/{path.name}"] = path.read_bytes()
        return found

    def with_mutants(self, *names: str) -> NotebookNode:
        """The reference with mistakes in it."""
        notebook = self.reference
        for name in names:
            text = (self.homework.mutants / f"{name}.py").read_text(encoding="utf-8")
            notebook = changed(notebook, name.split("__")[0], text)
        return notebook

    def with_variants(self, names: list[str]) -> NotebookNode:
        """The reference, otherwise written."""
        notebook = self.reference
        for name in names:
            text = (self.homework.variants / f"{name}.py").read_text(encoding="utf-8")
            notebook = changed(notebook, name.split("__")[0], text)
        return notebook

    def up_to(self, count: int) -> NotebookNode:
        """The starter with the first `count` code cells solved."""
        solved = {cell.id: cell.source for cell in self.reference.cells if cell.cell_type == "code"}
        answers = [cell.id for cell in self.starter.cells if cell.metadata.get("nbgrader", {}).get("solution")]
        return edited(self.starter, lambda c: solved.get(c.id, c.source) if c.id in answers[:count] else c.source)


def edited(notebook: NotebookNode, source: Callable[[NotebookNode], str]) -> NotebookNode:
    """A copy of a notebook with each cell's source replaced."""
    copy = nbformat.reads(nbformat.writes(notebook), as_version=4)
    for cell in copy.cells:
        cell.source = source(cell)
    return copy


def classroom(material: Material) -> list[Handed]:
    """The class, in the order of the list below; every student once."""
    return [*good(material), *partial(material), *wrong(material), *late(material), *damaged(material), *hostile(material)]


def good(material: Material) -> Iterator[Handed]:
    """Right answers: as the reference has them, and written otherwise."""
    for user in ("kim_minji", "lee.seojun", "park-jiwoo", "jsmith"):
        yield Handed(user, "complete", material.files(material.reference))
    variants = sorted(path.stem for path in material.homework.variants.glob("*.py"))
    for user, pick in (("choi_haneul", 0), ("garcia.lucia", 1)):
        names = list({name.split("__")[0]: name for name in variants[pick::2]}.values())
        yield Handed(user, f"complete, {len(names)} answers written otherwise", material.files(material.with_variants(names)))


def partial(material: Material) -> Iterator[Handed]:
    """Unfinished work."""
    yield Handed("jung_yuna", "the starter, untouched", material.files(material.starter, checkpoints=False))
    for user, count in (("kang.dohyun", 6), ("yoon_sora", 12), ("lim.jaeho", 17)):
        yield Handed(user, f"the first {count} answers", material.files(material.up_to(count), checkpoints=False))
    yield Handed("nguyen.anh", "complete, no trained models", material.files(material.reference, checkpoints=False))


def wrong(material: Material) -> Iterator[Handed]:
    """Known mistakes, one to three in a submission."""
    mutants = sorted(path.stem for path in material.homework.mutants.glob("*.py"))
    by_question = {name.split("__")[0]: name for name in mutants}
    names = list(by_question.values())
    for number, user in enumerate(("oh_eunbi", "han.taeyang", "shin_jimin", "baek.hyejin", "tanaka_yui", "mueller.jonas")):
        picked = list(dict.fromkeys(names[(number * 2 + i * 3) % len(names)] for i in range(1 + number % 3)))
        yield Handed(user, f"mistakes: {', '.join(picked)}", material.files(material.with_mutants(*picked)))


def late(material: Material) -> Iterator[Handed]:
    """Past the deadline, and more than once."""
    files = material.files(material.reference)
    yield Handed("seo_dain", "complete, one second late", files, timedelta(seconds=-1))
    yield Handed("kwon.minsu", "complete, two days late", files, timedelta(days=-1, hours=-20))
    first = material.files(material.starter, checkpoints=False)
    yield Handed("hwang_ara", "two attempts, the newer one complete", files, timedelta(minutes=30), (first,))


def damaged(material: Material) -> Iterator[Handed]:
    """What goes wrong with files and notebooks."""
    name, good_files = f"{material.homework.name}.ipynb", material.files(material.reference)
    yield Handed("ahn.seung", "notebook cut short", {**good_files, name: good_files[name][:20_000]})
    bare = edited(material.reference, lambda cell: cell.source)
    for cell in bare.cells:
        cell.metadata = NotebookNode()
    renamed = {"artifacts/" + k.split("/")[1]: v for k, v in good_files.items() if "/" in k}
    renamed["my homework (1).ipynb"] = nbformat.writes(bare).encode()
    yield Handed("song_woo", "notebook renamed, all metadata lost", renamed)
    broken = edited(material.reference, lambda c: c.source + "\ndef oops(:\n" if c.id.startswith("q3_") else c.source)
    yield Handed("jeon.bora", "syntax error in one cell", material.files(broken))
    spin = "\nwhile True:\n    pass\n"
    endless = edited(material.reference, lambda c: c.source + spin if c.id.startswith("q7_") else c.source)
    yield Handed("moon_jisoo", "a cell that never ends", material.files(endless))


    wide = {**good_files, name: good_files[name].decode().encode("utf-16")}
    wide["artifacts/e1_fashion_pixelcnn.safetensors"] = PICKLE
    yield Handed("bae_suah", "notebook in UTF-16, a pickle for a checkpoint", wide)
    wrong_place = {f"work/{key}": value for key, value in good_files.items()}
    yield Handed("nam.gyuri", "everything in a folder of its own", wrong_place)


def hostile(material: Material) -> Iterator[Handed]:
    """Attempts to get points, or to stop the class."""
    for user, (what, question, source) in zip(("x_eve", "x_mallory", "x_trent"), ATTACKS, strict=True):
        yield Handed(user, f"attack: {what}", material.files(changed(material.starter, question, source), checkpoints=False))
    escape = {**material.files(material.starter, checkpoints=False), "../../../escaped.py": b"print('outside')"}
    yield Handed("x_oscar", "attack: an archive that writes outside its folder", escape)


def write_files(folder: Path, files: Files) -> None:
    """Write a submission's files below a folder."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
