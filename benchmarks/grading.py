"""What grading costs, side by side in one run:  python -m benchmarks.grading [--submissions 20]

1. Phases 1 and 2 (all hidden checks, jailed, then nbgrader's gradebook) against plain `nbgrader autograde` of a notebook that
   imports torch, runs the same definitions and asserts nothing, on the same submissions. Wall seconds per submission.
2. The jail against the same checks in the grader's own process, on the reference. Alternating pairs; CPU seconds of grader
   and workers together.
3. Each public check's time, and one whole graded submission with its checkpoints, CPU seconds.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

from autograder.build import reference_notebook
from autograder.checking.run import check_submission, hand_in
from autograder.course import Course, Homework, load_course
from autograder.grade import grade
from autograder.gradebook import write_gradebook
from autograder.jail import make_backend
from autograder.jail.connection import JailConnection

CONFIG = 'c = get_config()\nc.CourseDirectory.course_id = "bench"\nc.CourseDirectory.root = "{root}"\n'


def main() -> None:
    """Run the three measurements and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=20)
    parser.add_argument("--homework", default="hw1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        course = load_course(work=Path(scratch) / "ours")
        homework = course.homework(options.homework)
        compare_with_nbgrader(course, homework, Path(scratch) / "plain", options.submissions)
        measure_jail(homework, Path(scratch) / "one")
    measure_public_checks(homework)


def compare_with_nbgrader(course: Course, homework: Homework, plain: Path, count: int) -> None:
    """Figures of the first measurement."""
    notebook = definitions_only(reference_notebook(homework))
    students = [f"student{number:02d}" for number in range(count)]
    for student in students:
        folder = course.work / "submitted" / student / homework.name
        folder.mkdir(parents=True)
        hand_in(homework, reference_notebook(homework), folder, checkpoints=False)
        (folder / "timestamp.txt").write_text("2024-03-20 00:00:00.000000 UTC")
    ours = timed(lambda: (grade(course, homework), write_gradebook(course, homework)))
    place(notebook, plain, homework.name, students)
    theirs = timed(lambda: nbgrader(plain, "autograde", homework.name))
    print(f"plain nbgrader autograde   {theirs / count:6.2f} s a submission ({theirs:.0f} s in all, nothing checked)")
    print(f"phases 1 + 2               {ours / count:6.2f} s a submission ({ours:.0f} s in all, all hidden checks)")
    print(f"ratio                      {theirs / ours:6.1f}")


def definitions_only(notebook: NotebookNode) -> NotebookNode:
    """Imports and definitions of the reference, and one locked test cell that asserts nothing."""
    cells = []
    for cell in notebook.cells:
        kind = cell.id.split("_")[0][:1]
        if cell.cell_type == "code" and (cell.id.startswith("setup") or (kind in "tq" and not cell.id.startswith("check"))):
            lines = [line for line in cell.source.splitlines() if " SOLUTION" not in line]
            cells.append(v4.new_code_cell("\n".join(lines), id=cell.id))
    test = v4.new_code_cell("assert True", id="test")
    test.metadata["nbgrader"] = {
        "grade": True, "grade_id": "test", "locked": True, "points": 1, "schema_version": 3, "solution": False, "task": False,
    }  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=[*cells, test], metadata={"kernelspec": kernel})


def place(notebook: NotebookNode, root: Path, name: str, students: list[str]) -> None:
    """nbgrader's tree with the released and the submitted notebooks."""
    for folder in (root / "source" / name, *(root / "submitted" / student / name for student in students)):
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    (root / "nbgrader_config.py").write_text(CONFIG.format(root=root))
    nbgrader(root, "generate_assignment", name)


def nbgrader(root: Path, *words: str) -> None:
    """nbgrader's own command, with one thread, as the jail's workers have."""
    from autograder.course import ROOT

    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by name
    environment = {**os.environ, "PATH": tools, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "nbgrader", *words, "--log-level=ERROR"]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)


def measure_jail(homework: Homework, folder: Path, pairs: int = 7) -> None:
    """Figures of the second measurement and of one graded submission."""
    folder.mkdir()
    hand_in(homework, reference_notebook(homework), folder)
    backends = {name: make_backend(name) for name in ("bubblewrap", "inprocess")}
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for name in [*backends] * (pairs + 1):
        seconds[name].append(cpu_of(lambda backend=backends[name]: check_submission(homework, folder, backend=backend)))
    for backend in backends.values():
        backend.close()
    jailed, direct = (seconds[name][1:] for name in backends)  # the first pair warms up
    ratio = statistics.median(a / b for a, b in zip(jailed, direct, strict=True))
    print(f"one submission, jailed     {statistics.median(jailed):6.2f} s of one core (with its checkpoints)")
    print(f"the same, no jail          {statistics.median(direct):6.2f} s of one core")
    print(f"sandbox overhead           {100 * (ratio - 1):6.0f} % (median of {pairs} pairs)")


def cpu_of(work: Callable[[], object]) -> float:
    """CPU seconds of this process and of the workers that end meanwhile."""
    close, spent = JailConnection.close, [0.0]

    def close_and_count(self: JailConnection) -> None:
        if self._open:
            spent[0] += int(Path(f"/proc/{self._pids[0]}/schedstat").read_text().split()[0]) / 1e9
        close(self)

    JailConnection.close = close_and_count
    usage = resource.getrusage(resource.RUSAGE_SELF)
    before = usage.ru_utime + usage.ru_stime
    try:
        work()
    finally:
        JailConnection.close = close
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime - before + spent[0]


def measure_public_checks(homework: Homework) -> None:
    """Run the reference's definitions and public checks here; print the slowest check."""
    space: dict[str, object] = {"__name__": "__main__"}
    slowest = ("", 0.0)
    for cell in reference_notebook(homework).cells:
        question = cell.id.removeprefix("check_")
        public = cell.id.startswith("check_") and question[0] in "tq"
        if cell.cell_type == "code" and (public or cell.id.startswith("setup") or cell.id[0] in "tq"):
            seconds = timed(lambda source=cell.source, name=cell.id: exec(compile(source, name, "exec"), space))
            slowest = max(slowest, (question, seconds) if public else slowest, key=lambda pair: pair[1])
    print(f"slowest public check       {slowest[1]:6.2f} s ({slowest[0]})")


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
