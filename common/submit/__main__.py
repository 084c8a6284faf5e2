"""The command `python -m common.submit`."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from common.submit.checks import Result, run_checks
from common.submit.findings import Finding, missing, notes
from common.submit.notebook import Homework, SubmitError, read_homework
from common.submit.pack import contents, pack, zip_name
from common.submit.render import render

DONE, INCOMPLETE, WRONG = 0, 1, 2
WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0 the zip is written, 1 the homework is incomplete, 2 it can't be read."""
    options = _parser().parse_args(arguments)
    try:
        return _submit(options)
    except SubmitError as error:
        _say(f"Nothing was written. {error}")
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m common.submit", description=(
        "Say what a homework still misses, run its public checks, and write the zip to hand in."))
    parser.add_argument("notebook", type=Path, help="your notebook, such as hw1.ipynb")
    parser.add_argument("--student", metavar="NAME", help="your user name; it becomes part of the zip's name")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: the notebook's folder)")
    parser.add_argument("--force", action="store_true", help="write the zip although something is missing")
    return parser


def _submit(options: argparse.Namespace) -> int:
    homework = read_homework(options.notebook)
    target = (options.out or homework.folder) / zip_name(homework, options.student)
    for note in notes(homework):
        _say(f"Note: {note}")
    found = missing(homework)
    _show_missing(found)
    _say("\nPublic checks (wait, they take some seconds)")
    results = run_checks(homework)
    _show_results(homework, results)
    if found and not options.force:
        _say("\nNo zip was written, because something is missing (see above). To hand in what you have, add --force.")
        return INCOMPLETE
    report, reason = render(homework, options.student, results, target.with_name(f"{target.stem}_report"))
    files = contents(homework, report)
    older = pack(files, target)
    _show_written(target, files, older, reason)
    return DONE


def _show_missing(found: Sequence[Finding]) -> None:
    _say("\nMissing" if found else "\nNothing is missing: every question has an answer.")
    for label, findings in groupby(found, key=lambda finding: finding.label):
        _say(f"  {label}")
        for finding in findings:
            _say(f"    {finding.sentence}")


def _show_results(homework: Homework, results: Sequence[Result]) -> None:
    labels = {question.id: question.label for question in homework.questions}
    width = max(len(labels[result.question]) for result in results) if results else 0
    for result in results:
        _say(f"  {labels[result.question]:{width}}  {result.status:8}  {result.seconds:5.2f} s")
        if result.detail:
            _say(textwrap.indent(result.detail, "      "))
    passed = sum(result.status == "passed" for result in results)
    _say(f"  {passed} of {len(results)} passed. Public checks find slips; further checks decide the points.")


def _show_written(target: Path, files: dict[str, Path], older: Path | None, reason: str) -> None:
    if reason:
        _say(f"\n{reason}")
    if older is not None:
        _say(f"\nThe zip that was there is now called {older.name}.")
    _say(f"\nWrote {target} ({target.stat().st_size / 2**20:.1f} MB), which holds")
    for name in sorted(files):
        _say(f"  {name}")
    _say("Look at the report in it, then upload this file on Blackboard.")


def _say(text: str) -> None:
    """Print a paragraph; long lines are wrapped and keep their indentation."""
    for line in text.split("\n"):
        indent = line[:len(line) - len(line.lstrip())]
        print(textwrap.fill(line, WIDTH, subsequent_indent=indent + "  ") if len(line) > WIDTH else line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
