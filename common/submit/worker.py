"""The process in which a student's cells run. Reads a plan from stdin, writes one line of JSON per event to stdout.

Plan: {"cells": [{"name", "source", "check": bool}, ...]}, in notebook order. Events: {"start": name}, then
{"end": name, "status": "passed" | "failed" | "to do" | "error", "detail": sentence, "seconds": float}.
"""

import json
import os
import sys
import time
import traceback
from typing import Any, TextIO

LONGEST = 2000  # characters of a message


def main() -> None:
    """Run the plan in one namespace, as a notebook would."""
    events = _take_stdout()
    plan = json.load(sys.stdin)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in plan["cells"]:
        _write(events, start=cell["name"])
        started = time.perf_counter()
        status, detail = _run(cell, namespace)
        _write(events, end=cell["name"], status=status, detail=detail[:LONGEST], seconds=time.perf_counter() - started)


def _take_stdout() -> TextIO:
    """Keep stdout for events; whatever cells print, also from C, goes nowhere."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return events


def _write(events: TextIO, **event: Any) -> None:
    events.write(json.dumps(event) + "\n")
    events.flush()


def _run(cell: dict[str, Any], namespace: dict[str, Any]) -> tuple[str, str]:
    name = f"<{cell['name']}>"
    try:
        exec(compile(cell["source"], name, "exec"), namespace)
    except AssertionError as error:
        return "failed", str(error) or f"the assertion in line {_line(error, name)} of the check does not hold"
    except NotImplementedError as error:
        return "to do", str(error).split(": ", 1)[-1]
    except Exception as error:
        if type(error).__name__ == "CheckpointError":  # common's own sentence says all; its import would take seconds
            return "failed", str(error)
        return "error", _describe(error, name)
    except BaseException as error:  # SystemExit, too: a cell must not end the process
        return "error", _describe(error, name)
    return "passed", ""


def _describe(error: BaseException, name: str) -> str:
    """The error's type and text, and the line of the student's code that it comes from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<")]
    where = ""
    if isinstance(error, SyntaxError):
        where = f" (line {error.lineno})"
    elif frames:
        where = f" (line {frames[-1].lineno} of the cell {frames[-1].filename.strip('<>')})"
    return f"{type(error).__name__}: {error}{where}"


def _line(error: BaseException, name: str) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return lines[-1] if lines else None


if __name__ == "__main__":
    main()
