"""How a student's words are shown to a grader: Markdown with mathematics, tables and pictures, and nothing that acts.

nbconvert's `sanitize_html` does not do it: formgrader's template shows Markdown cells without it, and where it works it
turns paragraphs and headings into text with tags.
"""

import re

import bleach
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TAGS = frozenset(
    (
        "a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl",
        "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img",
        "ins", "kbd", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub",
        "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
    )
)  # fmt: skip
PICTURE = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]+\Z|(\./)?figures/[\w. -]+\Z")
ACTIVE_MATH = re.compile(r"\\(href|require|unicode|style|class|cssId)\b")


@pass_context
def safe_markdown(context: Context, source: str) -> str:
    """Markdown as HTML in which only known tags and attributes are left; anything else shows as the text that it is.

    Pictures come from the submission's figures, the cell's attachments or the text itself, never from elsewhere. TeX
    commands with which MathJax makes links or loads code become text.
    """
    attachments = context.get("cell", {}).get("attachments", {})
    renderer = IPythonRenderer(escape=False, attachments=attachments, exclude_anchor_links=True)
    html = MarkdownWithMath(renderer=renderer).render(ACTIVE_MATH.sub(r"\\text", source))
    return bleach.clean(html, tags=TAGS, attributes=_allowed, protocols={"http", "https", "mailto", "data"})


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "img":
        return name in ("alt", "title", "width", "height") or (name == "src" and PICTURE.match(value) is not None)
    if tag == "a":
        return name == "href" and value.lower().startswith(("http://", "https://", "mailto:", "#"))
    return name in ("colspan", "rowspan", "align") if tag in ("td", "th") else False
