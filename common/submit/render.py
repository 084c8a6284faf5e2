"""The notebook with its report as one file to read: a PDF where a browser can print it, else self-contained HTML."""

import html
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

from common.artifacts import write_atomically
from common.submit.checks import Result
from common.submit.notebook import Homework

try:
    from latex2mathml.converter import convert as to_mathml
except ImportError:  # formulas are then set by MathJax, which needs the web
    to_mathml = None

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
BROWSER_FILES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
PRINT_SECONDS = 120
# Nothing is loaded from the web: no require.js, MathJax or Mermaid. Long lines wrap, figures stay whole on a page, and
# keep the description that common.plotting gives them (nbconvert's own template drops it).
TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_css %}<style>
  main { max-width: 60rem; margin: auto; padding: 1rem; }
  pre, .jp-OutputArea-output pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  img { max-width: 100%; break-inside: avoid; }
  .jp-InputPrompt, .jp-OutputPrompt { display: none; }
  h1, h2, h3, h4 { break-after: avoid; }
  @page { size: A4; margin: 15mm; }
  @media print { pre, .jp-OutputArea-output pre { font-size: 7.2pt !important; line-height: 1.3; } }
</style>{% endblock %}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
{%- set alt = output | get_metadata('alt', 'image/png') %}{% if alt is not none %} alt="{{ alt | escape_html }}"{% endif %}>
</div>
{% endblock %}
"""
NO_MATHJAX = "{% block html_head_js_mathjax %}{% endblock %}\n"


def render(homework: Homework, student: str | None, results: Sequence[Result],
           target: Path) -> tuple[Path | None, str]:
    """Write target with the suffix .pdf or .html; that path, and a sentence about why it is no PDF ("" when it is).

    A notebook that can't be rendered gives no path: it is handed in without a report file.
    """
    try:
        page = to_html(homework, student, results)
    except Exception as error:  # a lost attachment, an odd output: the zip matters more
        return None, f"The notebook can't be rendered ({type(error).__name__}: {error}), so there is no report file."
    browser = find_browser()
    reason = "No Chrome, Chromium or Edge was found to print a PDF, so the report is one HTML file."
    if browser is not None:
        pdf = to_pdf(page, browser)
        if pdf is not None:
            return _written(target.with_suffix(".pdf"), pdf), ""
        reason = f"{browser} could not print a PDF, so the report is one HTML file."
    return _written(target.with_suffix(".html"), page.encode()), reason


def to_html(homework: Homework, student: str | None, results: Sequence[Result]) -> str:
    """One page that holds everything: a head with the checks' results, then the notebook with figures and formulas."""
    notebook = from_dict(homework.node)
    notebook.cells = [_head(homework, student, results), *notebook.cells]
    notebook.metadata["title"] = f"{homework.name} {student or ''}".strip()
    notebook.metadata.pop("widgets", None)  # their program would be loaded from the web
    exporter = _Exporter(raw_template=TEMPLATE + (NO_MATHJAX if to_mathml else ""), embed_images=True,
                         exclude_anchor_links=True)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(), enabled=True)  # of a progress bar, its last state
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(homework.folder), "name": homework.name}})
    return page


def to_pdf(page: str, browser: str) -> bytes | None:
    """The page as printed by a browser without a window, or None when it fails."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source, target = Path(folder, "page.html"), Path(folder, "page.pdf")
        source.write_text(page, encoding="utf-8")
        # A browser refuses to start as root (Colab, containers) with its sandbox on.
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command = [browser, "--headless", *sandbox, "--disable-gpu", "--no-pdf-header-footer", "--disable-extensions",
                   f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=PRINT_SECONDS, check=True)
            return target.read_bytes() or None
        except (OSError, subprocess.SubprocessError):
            return None


def find_browser() -> str | None:
    """The path of a browser that can print to PDF, or None."""
    found: Iterator[str | None] = (shutil.which(name) for name in BROWSERS)
    files = (path for path in BROWSER_FILES if sys.platform != "linux" and Path(path).exists())
    return next((path for path in (*found, *files) if path), None)


class _MathRenderer(IPythonRenderer):
    """Markdown to HTML with formulas as MathML, which browsers draw and screen readers read without any program."""

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline") or super().inline_math(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block") or super().block_math(body)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block") or super().latex_environment(name, body)


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        renderer = _MathRenderer(escape=False, attachments=attachments, embed_images=True, path=path,
                                 anchor_link_text="", exclude_anchor_links=True)
        return MarkdownWithMath(renderer=renderer).render(source)


def mathml(tex: str, display: str) -> str:
    """TeX as MathML, display "inline" or "block"; the TeX itself as code where it can't be read, "" without converter."""
    if to_mathml is None:
        return ""
    try:
        return to_mathml(tex.strip(), display=display)
    except Exception:  # a student's slip in a formula must not stop the report
        return f"<code>{html.escape(tex)}</code>"


def _head(homework: Homework, student: str | None, results: Sequence[Result]) -> NotebookNode:
    labels = {question.id: question.label for question in homework.questions}
    rows = [f"| {labels[result.question]} | {result.status} |" for result in results]
    table = ["| public check | result |", "|---|---|", *rows] if rows else []
    title = f"# {homework.name.upper()}, handed in by {student or 'a student who gave no name'}"
    cell = new_markdown_cell("\n".join([title, "", *table]))
    if "id" not in (homework.node.cells[0] if homework.node.cells else {}):
        cell.pop("id")
    return cell


def _written(path: Path, data: bytes) -> Path:
    write_atomically(path, data)
    return path
