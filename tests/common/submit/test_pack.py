"""The zip holds what is graded, and no older zip is lost."""

import ast
import os
import sys
import zipfile
from pathlib import Path

import pytest
from torch import nn

from common import artifacts
from common.submit import __main__ as command
from common.submit.notebook import SubmitError, read_homework
from common.submit.pack import contents, pack, zip_name

ROOT = Path(__file__).resolve().parents[3]
STUB = 'raise NotImplementedError("TODO q1_double: multiply by two")'


def test_the_zip_holds_what_is_graded_and_nothing_else(write, no_browser, capsys):
    path = write()
    artifacts.save("ablation", nn.Linear(1, 1), {"in_features": 1, "out_features": 1})
    for name in ("secret.txt", "artifacts/e1_model.resume", "figures/notes.txt"):
        Path(name).write_text("x")
    os.symlink("/etc/hosts", "figures/link.png")
    assert command.main([str(path), "--student", "kim"]) == command.DONE
    with zipfile.ZipFile("hw1_kim.zip") as archive:
        assert archive.namelist() == ["artifacts/e1_model.safetensors", "figures/loss.png", "hw1.ipynb", "report.html"]
        assert archive.read("hw1.ipynb") == path.read_bytes()
        assert archive.testzip() is None
    text = capsys.readouterr().out
    for part in ("every question has an answer", "4 of 4 passed", "Wrote", "hw1_kim.zip", "Blackboard"):
        assert part in text


def test_an_incomplete_homework_needs_force(write, no_browser, capsys):
    path = write(q1_double=f"def double(x):\n    {STUB}", w1_why="")
    assert command.main([str(path)]) == command.INCOMPLETE
    text = capsys.readouterr().out
    assert "\nMissing\n  Q1 Doubling\n    still to do: multiply by two\n  W1 Why\n    the answer is empty\n" in text
    for part in ("2 of 4 passed", "add --force"):
        assert part in text
    assert not list(Path().glob("*.zip"))
    assert command.main([str(path), "--force"]) == command.DONE
    assert Path("hw1_submission.zip").exists()


def test_a_failed_check_does_not_stop_handing_in(write, no_browser, capsys):
    assert command.main([str(write(q1_double="def double(x): return 0")), "--student", "kim"]) == command.DONE
    assert "double(4) is not 8" in capsys.readouterr().out


def test_an_older_zip_is_kept(write, no_browser, capsys):
    path = write()
    for _ in range(3):
        command.main([str(path), "--student", "kim"])
    assert sorted(p.name for p in Path().glob("*.zip")) == ["hw1_kim.older-1.zip", "hw1_kim.older-2.zip", "hw1_kim.zip"]
    assert "The zip that was there is now called hw1_kim.older-2.zip." in capsys.readouterr().out


def test_a_failed_write_keeps_the_older_zip(write, monkeypatch):
    files = contents(read_homework(write()), None)
    target = Path("hw1_kim.zip")
    pack(files, target)
    before = target.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        pack(files, target)
    assert [p.read_bytes() for p in Path().glob("*.zip")] == [before]


def test_the_zip_goes_where_it_is_wanted(write, no_browser):
    os.rename(write(), "HW1 (1).ipynb")
    assert command.main(["HW1 (1).ipynb", "--student", "j.smith-2", "--out", "hand/in"]) == command.DONE
    with zipfile.ZipFile("hand/in/hw1_j.smith-2.zip") as archive:
        assert "hw1.ipynb" in archive.namelist()


@pytest.mark.parametrize("student", ["", "../kim", "kim/lee", ".kim", "k" * 65, "kim lee", "金"])
def test_a_student_name_that_is_no_file_name_is_refused(write, student, capsys):
    assert command.main([str(write()), "--student", student, "--force"]) == command.WRONG
    assert "can't be part of a file name" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SubmitError, match="Use your user name"):
        zip_name(read_homework("hw1.ipynb"), student)




def test_common_needs_nothing_that_only_the_staff_has():
    """Of common/, every import is of Python itself, of common, or of what requirements-student.txt brings."""
    brought = {"torch", "numpy", "matplotlib", "tqdm", "safetensors", "nbformat", "nbconvert", "IPython", "jinja2",
               "latex2mathml", "common"}
    for path in (ROOT / "common").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert roots <= brought | sys.stdlib_module_names, f"{path.relative_to(ROOT)} imports {roots - brought}"
