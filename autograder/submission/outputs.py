"""What of a cell's outputs is safe to show to a person who is logged in as a grader: plain text, PNG and JPEG.

HTML, SVG, JavaScript, LaTeX and widgets can carry scripts; a picture is kept only when it is one, so that its bytes can't
end the attribute that holds them.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from nbformat import NotebookNode

PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
MAX_TEXT = 20_000
MAX_PICTURE = 4_000_000
MAX_OUTPUTS = 50


def safe_outputs(outputs: Any) -> list[NotebookNode]:
    """The outputs of a code cell that may be shown, rebuilt from what is known to be harmless."""
    if not isinstance(outputs, list):
        return []
    kept = (_safe(output) for output in outputs[:MAX_OUTPUTS] if isinstance(output, dict))
    return [output for output in kept if output is not None]


def safe_attachments(attachments: Any) -> NotebookNode:
    """The pictures that a markdown cell carries with it: file name -> type -> base64 text."""
    kept = NotebookNode()
    for name, bundle in list(attachments.items())[:MAX_OUTPUTS] if isinstance(attachments, dict) else ():
        given = bundle if isinstance(bundle, dict) else {}
        pictures = {kind: _picture(given.get(kind), magic) for kind, magic in PICTURES.items()}
        if found := {kind: text for kind, text in pictures.items() if text}:
            kept[name.encode("utf-8", "replace").decode()] = NotebookNode(found)
    return kept


def _safe(output: dict[str, Any]) -> NotebookNode | None:
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return NotebookNode(output_type="stream", name=name, text=_text(output.get("text")))
    if kind == "error":
        words = f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
        return NotebookNode(output_type="stream", name="stderr", text=words)
    if kind not in ("display_data", "execute_result") or not isinstance(output.get("data"), dict):
        return None
    data = NotebookNode(dict(_data(output["data"])))
    return NotebookNode(output_type="display_data", data=data, metadata=NotebookNode()) if data else None


def _data(data: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for kind, magic in PICTURES.items():
        if picture := _picture(data.get(kind), magic):
            yield kind, picture
    if text := _text(data.get("text/plain")):
        yield "text/plain", text


def _picture(value: Any, magic: bytes) -> str:
    """The picture's base64 text, made anew from its bytes; "" when it is no picture of that kind."""
    text = _joined(value)
    if not text or len(text) > MAX_PICTURE * 4 // 3:
        return ""
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return base64.b64encode(raw).decode() if raw.startswith(magic) else ""


def _text(value: Any) -> str:
    text = _joined(value).encode("utf-8", "replace").decode("utf-8")
    text = "".join(char for char in text if char >= " " or char in "\n\t")  # no terminal or HTML escapes from ANSI codes
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n... cut here"


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
