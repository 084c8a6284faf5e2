"""Run the public checks of a notebook: definitions and checks only, in a process of their own, with time limits."""

import ast
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import common
from common.submit.notebook import Homework, SubmitError

CHECK_SECONDS = 10.0
DEFINITION_SECONDS = 60.0  # the first cell imports torch
ROOT = Path(common.__file__).resolve().parents[1]


@dataclass(frozen=True)
class Result:
    """What a question's public check said. status: passed, failed, to do, error, too slow, or missing."""

    question: str
    status: str
    detail: str = ""
    seconds: float = 0.0


def run_checks(
    homework: Homework,
    check_seconds: float = CHECK_SECONDS,
    definition_seconds: float = DEFINITION_SECONDS,
) -> list[Result]:
    """One result for each question that has a public check, in the order of the questions.

    A cell that hangs or ends the process is left out, and a new process goes on with the rest. Experiments do not run.
    Raises SubmitError when no process can be started.
    """
    left = list(plan_of(homework))
    limits = {cell["name"]: check_seconds if cell["check"] else definition_seconds for cell in left}
    ended: dict[str, Result] = {}
    while any(cell["check"] for cell in left):
        culprit = _Process(left, homework.folder).run(limits, ended)
        left = [cell for cell in left if cell["name"] != culprit and not (cell["check"] and cell["name"] in ended)]
    return [_result(question.id, ended) for question in homework.questions if question.kind in "tqe"]


def plan_of(homework: Homework) -> Iterator[dict[str, Any]]:
    """The cells to run, in notebook order, as the worker takes them. Of cells that students added, definitions only."""
    for number, cell in enumerate(homework.cells):
        if not cell.is_code or cell.tag.startswith("e") or cell.tag == "collaboration":
            continue
        source = without_magics(cell.source)
        if cell.tag:
            name = cell.tag if cell.tag != "setup" else f"setup-{number}"
            yield {"name": name, "source": source, "check": cell.tag.startswith("check_")}
        else:
            yield {"name": f"added-{number}", "source": definitions_of(source), "check": False}


def without_magics(source: str) -> str:
    """Python without IPython's magics and shell lines; each becomes `pass`, so that line numbers stay."""
    if _is_python(source):
        return source
    return re.sub(r"^([ \t]*)[%!?].*$", r"\1pass", source, flags=re.MULTILINE)


def definitions_of(source: str) -> str:
    """Imports, functions, classes and assignments that call nothing; "" for what is no Python. Line numbers stay."""
    if not _is_python(source):
        return ""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if _is_definition(node)]
    kept = {line for node in tree.body for line in range(_first_line(node), (node.end_lineno or 0) + 1)}
    lines = source.split("\n")
    return "\n".join(line if number in kept else "" for number, line in enumerate(lines, 1))


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return not any(isinstance(part, (ast.Call, ast.Await)) for part in ast.walk(node))
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def _result(question: str, ended: dict[str, Result]) -> Result:
    """The check's result; where the answer's own cell failed, that is the cause to tell."""
    check = ended.get(f"check_{question}", Result(question, "missing", "the check's cell is gone from the notebook"))
    answer = ended.get(question)
    if check.status != "passed" and answer is not None and answer.status != "passed":
        return replace(answer, question=question)
    return replace(check, question=question)


class _Process:
    """One worker process that runs cells until all are done, or one of them hangs or ends it."""

    def __init__(self, cells: list[dict[str, Any]], folder: Path) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg", "PRESET": "smoke",
                       "PYTHONUTF8": "1"}
        self.process = subprocess.Popen([sys.executable, "-m", "common.submit.worker"], cwd=folder, env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._send, args=(json.dumps({"cells": cells}).encode(),), daemon=True).start()
        threading.Thread(target=self._read, daemon=True).start()

    def run(self, limits: dict[str, float], ended: dict[str, Result]) -> str | None:
        """Put results into `ended`; the name of the cell that hung or ended the process, or None when all are done."""
        running, started = None, False
        try:
            while (event := self.events.get(timeout=limits.get(running, DEFINITION_SECONDS))) is not None:
                running, started = event.pop("start", None), True
                if running is None:
                    name = event.pop("end")
                    ended[name] = Result(name, **event)
        except queue.Empty:
            seconds = limits.get(running, DEFINITION_SECONDS)
            stopped = Result(str(running), "too slow", f"it was stopped after {seconds:g} s: is there an endless loop?")
        else:
            stopped = Result(str(running), "error", "the cell ended the Python process (exit, crash or lack of memory)")
        finally:
            self.process.kill()
            self.process.wait()
        if not started:
            raise SubmitError(f"The checks can't run: {sys.executable} does not start. Is it the one with torch?")
        if running is not None:
            ended[running] = stopped
        return running

    def _send(self, plan: bytes) -> None:
        try:
            self.process.stdin.write(plan)
            self.process.stdin.close()
        except OSError:
            pass  # the process has ended; the reader sees it, too

    def _read(self) -> None:
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put(None)
