"""What graders see of a student's words: all that can be read, nothing that acts."""

from html.parser import HTMLParser

import pytest
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.server_extensions.formgrader.handlers import template_path

from autograder.nbgrader_config import nbgrader_config

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WORDS = """# A heading

Some $a < b$ and **bold**, ![drawn](attachment:a.png) ![mine](figures/loss.png)

| a | b |
|---|---|
| 1 | 2 |

<img src=x onerror="alert(1)"> <svg onload="alert(2)"></svg> [click](javascript:alert(3)) <a href="JaVaScRiPt:alert(4)">x</a>
<iframe src="https://evil.example"></iframe> ![spy](https://evil.example/a.png) $\\href{javascript:alert(5)}{x}$
<style>body { display: none }</style> <form action="/formgrader/api"><input name="score"></form>
"""


@pytest.mark.parametrize("template", ["formgrade", "lab", "classic"])
def test_pages_run_no_script_and_show_headings_tables_and_pictures(module_course, template):
    written = new_markdown_cell(WORDS, attachments={"a.png": {"image/png": PIXEL}})
    written.metadata.nbgrader = {"grade_id": "w1_why", "grade": True, "solution": True, "points": 20, "locked": False}
    code = new_code_cell("1 < 2", outputs=[new_output("display_data", {"text/html": "<script>alert(6)</script>"})])
    page = rendered(
        module_course, new_notebook(cells=[written, new_markdown_cell("<script>alert(7)</script>"), code]), template
    )
    tags = Tags(page)
    assert tags.active == []
    assert not any("evil" in source for source in tags.pictures)
    assert "javascript:alert" not in page.replace("\\text{javascript:alert", "")
    if template == "formgrade":  # the others also apply nbconvert's own cleaning, which leaves little
        assert {"figures/loss.png", f"data:image/png;base64,{PIXEL}"} <= tags.pictures
        assert tags.headings == 1
        assert tags.tables == 1


def rendered(course, notebook, template: str) -> str:
    """The notebook alone, as a template shows it to a grader."""
    exporter = HTMLExporter(config=nbgrader_config(course), template_name=template, extra_template_basedirs=[template_path])
    about = {"index": 0, "total": 1, "base_url": "", "mathjax_url": "", "notebook_id": "hw1"}
    return exporter.from_notebook_node(notebook, resources=about)[0]


class Tags(HTMLParser):
    """What in a page could act: scripts that hold a student's alert, event handlers, frames, forms."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.active, self.pictures, self._script = [], set(), False
        self.headings = self.tables = 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self._script = tag == "script"
        if tag in ("iframe", "object", "embed", "svg", "form") or any("alert" in (value or "") for value in values.values()):
            self.active.append((tag, attributes))
        if tag == "img":
            self.pictures.add(values.get("src") or "")
        self.headings += tag == "h1"
        self.tables += tag == "table"

    def handle_data(self, data):
        if self._script and "alert(" in data:
            self.active.append(data)
        self._script = False
