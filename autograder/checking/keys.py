"""The key of a verdict: what it depends on, hashed, so that a rerun grades only what changed."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from autograder.course import ROOT, Homework


def submission_key(homework: Homework, folder: Path) -> str:
    """Hash of the submission's files, the homework's checks and rubric, and the grading environment (hex)."""
    return _hash(tree_hash(folder), checks_hash(homework), environment_hash())


@cache
def checks_hash(homework: Homework) -> str:
    """Hash of everything of a homework that decides points."""
    folders = (homework.checks, homework.heldout)
    return _hash(*map(tree_hash, folders), file_hash(homework.path / "rubric.toml"), file_hash(homework.solution))


@cache
def environment_hash() -> str:
    """Hash of the interpreter, torch's release and the code that grades."""
    code = [tree_hash(ROOT / "autograder" / name) for name in ("checking", "jail", "submission")]
    return _hash(platform.python_version(), version("torch"), *code, tree_hash(ROOT / "common"))


def tree_hash(folder: Path) -> str:
    """Hash of names and contents of the files below a folder, links and caches left out."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and "__pycache__" not in p.parts)
    return _hash(*(f"{path.relative_to(folder)} {file_hash(path)}" for path in files))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
