"""What is missing in a homework, and what a student may want to know before handing in."""

import ast
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.artifacts import CheckpointError, checkpoint_path, read
from common.submit.notebook import Homework, Question

STUB = re.compile(r"""NotImplementedError\(\s*(?P<text>(?P<quote>["'])TODO \w+:.*?(?P=quote))\s*\)""")
STUB_LINE = re.compile(r"^.*\bTODO\b.*$", re.MULTILINE)
OPEN_ITEM = re.compile(r"^\s*[-*]\s+(?P<item>.*):\s*$", re.MULTILINE)  # `- Name and student number:` and nothing after it
FIGURE = re.compile(r"!\[[^\]]*\]\(\s*<?(?P<link>[^)\s>]+)|<img\b[^>]*\bsrc\s*=\s*[\"'](?P<source>[^\"']+)", re.IGNORECASE)
FEWEST_WORDS = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is missing, at which question (by its label), in a sentence."""

    label: str
    sentence: str


def missing(homework: Homework) -> list[Finding]:
    """Everything that makes the homework incomplete, in the order of the questions."""
    found = [Finding(q.label, sentence) for q in homework.questions for sentence in _of_question(homework, q)]
    return found + [Finding("Collaboration statement", sentence) for sentence in _of_collaboration(homework)]


def notes(homework: Homework) -> list[str]:
    """What does not make it incomplete: when it was saved, outputs that are missing, figures that are not there."""
    saved = datetime.fromtimestamp(homework.path.stat().st_mtime)
    found = [f"This is {homework.path.name} as saved on {saved:%A %d %B at %H:%M}. Later changes in an open notebook are "
             "not in it until you save."]
    if not any(cell.get("outputs") for cell in homework.node.cells):
        found.append("The notebook has no outputs, so the report will show no results. Run all cells and save.")
    found += [f"The notebook shows {link}, but there is no such file." for link in _lost_figures(homework)]
    return found


def is_unwritten(text: str) -> str:
    """Why a written answer does not count as one ("" when it does): a TODO line is left, or it has hardly a word."""
    if left := len(STUB_LINE.findall(text)):
        return f"{left} {'line' if left == 1 else 'lines'} with TODO left. Write your text in place of it"
    words = re.findall(r"\w+", re.sub(r"^#.*$", "", text, flags=re.MULTILINE))
    return "the answer is empty" if len(words) < FEWEST_WORDS else ""


def _of_question(homework: Homework, question: Question) -> list[str]:
    if question.answer is None:
        return ["its cell is gone. Copy it back from the starter notebook, with its tag"]
    if question.kind in "wr":
        reason = is_unwritten(question.answer.source)
        return [reason] if reason else []
    found = [f"still to do: {_todo(match['text'])}" for match in STUB.finditer(question.answer.source)]
    return found + (_of_checkpoint(homework, question) if question.kind == "e" else [])


def _todo(literal: str) -> str:
    """What a stub asks for, from its Python string `"TODO q4_masked_conv: build the mask"`."""
    try:
        text = str(ast.literal_eval(literal))
    except (ValueError, SyntaxError):  # edited by hand
        text = literal[1:-1]
    return text.split(":", 1)[-1].strip()


def _of_checkpoint(homework: Homework, question: Question) -> list[str]:
    try:
        read(checkpoint_path(question.id, homework.folder / "artifacts"))
    except CheckpointError as error:
        return [str(error)]
    return []


def _of_collaboration(homework: Homework) -> list[str]:
    cells = [cell for cell in homework.cells if cell.tag == "collaboration"]
    if not cells:
        return ["its cell is gone. Copy it back from the starter notebook, with its tag"]
    found = [f"not filled in: {match['item']}" for cell in cells for match in OPEN_ITEM.finditer(cell.source)]
    return found + sorted({is_unwritten(cell.source) for cell in cells} - {""})


def _lost_figures(homework: Homework) -> list[str]:
    links = {match["link"] or match["source"] for cell in homework.cells if not cell.is_code
             for match in FIGURE.finditer(cell.source)}
    local = sorted(link for link in links if not re.match(r"[a-z]+:", link, re.IGNORECASE))
    return [link for link in local if not (homework.folder / Path(link)).is_file()]
