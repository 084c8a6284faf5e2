"""A file that claims to be a notebook -> NotebookNode (format 4.5), or a sentence that says what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.submission.outputs import safe_attachments, safe_outputs

MAX_BYTES = 50_000_000
MAX_CELLS = 2_000
ENCODINGS = ("utf-8-sig", "utf-16", "cp949")


class NotebookError(Exception):
    """The file is no notebook that can be graded; the message says why in words for a person."""


def read_notebook(path: Path) -> tuple[NotebookNode, list[str]]:
    """Read and clean one notebook; the second value says what was repaired. Raises NotebookError."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise NotebookError(
            f"{path.name} has {size / 1e6:.0f} MB; the limit is {MAX_BYTES // 1_000_000} MB. "
            "Clear the outputs and hand in again"
        )
    text, notes = _decode(path)
    document = _parse(path.name, text)
    return _clean(path.name, document, notes), notes


def _decode(path: Path) -> tuple[str, list[str]]:
    data = path.read_bytes()
    if not data.strip():
        raise NotebookError(f"{path.name} is empty")
    for encoding in ENCODINGS:
        if encoding == "utf-16" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        odd = encoding != "utf-8-sig"
        return text, [f"{path.name} is encoded as {encoding}, not UTF-8; it was converted"] if odd else []
    raise NotebookError(f"{path.name} is no text in UTF-8, UTF-16 or CP949")


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise NotebookError(f"{name} is no valid notebook file (truncated or damaged, {where})") from error
    if isinstance(document, dict) and isinstance(document.get("worksheets"), list):
        return _from_format_3(name, text)
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise NotebookError(f"{name} is JSON but no notebook: it has no list of cells")
    return document


def _from_format_3(name: str, text: str) -> dict[str, Any]:
    try:
        return nbformat.reads(text, as_version=4)
    except Exception as error:  # nbformat's upgrader lets any kind of error through
        raise NotebookError(f"{name} has the old notebook format 3 and could not be converted: {error}") from error


def _clean(name: str, document: dict[str, Any], notes: list[str]) -> NotebookNode:
    """Keep only what a notebook may hold, so that nothing later meets a surprise."""
    if len(document["cells"]) > MAX_CELLS:
        raise NotebookError(f"{name} has {len(document['cells'])} cells; the limit is {MAX_CELLS}")
    if document.get("nbformat") in (1, 2, 3):
        notes.append(f"{name} had notebook format {document.get('nbformat')}; it was converted to 4")
    cells = [_cell(cell, number, notes) for number, cell in enumerate(document["cells"], 1)]
    kept = [cell for cell in cells if cell is not None]
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata=NotebookNode(), cells=kept)


def _cell(cell: Any, number: int, notes: list[str]) -> NotebookNode | None:
    kind = cell.get("cell_type") if isinstance(cell, dict) else None
    if kind not in ("code", "markdown", "raw"):
        notes.append(f"cell {number} is no notebook cell; it was left out")
        return None
    source = cell.get("source")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        notes.append(f"cell {number} has no source; it counts as empty")
        source = ""
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    identity = cell.get("id") if isinstance(cell.get("id"), str) else ""
    clean = NotebookNode(cell_type=kind, id=identity, metadata=_metadata(metadata), source=plain(source))
    if kind == "code":
        clean.execution_count = None
        clean.outputs = safe_outputs(cell.get("outputs"))
    elif attachments := safe_attachments(cell.get("attachments")):
        clean.attachments = attachments
    return clean


def _metadata(metadata: dict[str, Any]) -> NotebookNode:
    """The two entries that matching uses: nbgrader's grade_id and the tags."""
    nbgrader = metadata.get("nbgrader")
    grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    tags = metadata.get("tags")
    kept = NotebookNode()
    if isinstance(grade_id, str) and grade_id:
        kept.nbgrader = NotebookNode(grade_id=grade_id)
    if isinstance(tags, list):
        kept.tags = [tag for tag in tags if isinstance(tag, str)]
    return kept


def plain(text: str) -> str:
    """Text that can be written as UTF-8 with one kind of line end: lone surrogates become question marks."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    return text.encode("utf-8", "replace").decode("utf-8")
