"""What a student bundle may hold, by name; everything else is refused."""

import re
from pathlib import PurePosixPath

# common/ as Python modules and data files with their licences. Names that say staff-only never pass.
PATTERNS = (
    r"README\.md",
    r"requirements\.txt",
    r"common/(?:[a-z_]+/)*[a-z_]\w*\.py",
    r"common/(?:[a-z_]+/)*assets/[\w.-]+\.(?:npz|safetensors)",
    r"common/(?:[a-z_]+/)*(?:assets/)?(?:LICENSE|NOTICE|README)[\w.-]*",
)
STAFF_WORDS = "staff|grading|heldout|held_out|hidden|solutions?|mutants?|variants?|rubric"
STAFF_ONLY = re.compile(rf"(?:^|[_\W])(?:{STAFF_WORDS})(?:$|[_\W])", re.I)
IMAGE = re.compile(r"""!\[[^\]]*\]\(\s*<?([^)>\s]+)|<img\b[^>]*\bsrc\s*=\s*["']([^"']+)""", re.I)
IMAGE_SUFFIXES = (".png", ".svg", ".jpg", ".jpeg", ".gif")


def is_allowed(path: str, notebook: str, figures: set[str]) -> bool:
    """Whether the bundle may hold a file of that relative path. figures: those that its text shows."""
    if path == notebook or path in figures:
        return True
    return not is_staff_only(path) and any(re.fullmatch(pattern, path) for pattern in PATTERNS)


def is_staff_only(path: str) -> bool:
    """Whether a part of the path says that the file is not for students."""
    return any(STAFF_ONLY.search(part) for part in PurePosixPath(path).parts)


def figures_shown(text: str) -> set[str]:
    """Relative paths of the image files that a Markdown text shows; not those of the web or outside its folder."""
    links = {link for pair in IMAGE.findall(text) for link in pair if link}
    local = {PurePosixPath(link) for link in links if not re.match(r"[a-z]+:", link, re.I)}
    return {
        str(path)
        for path in local
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_absolute() and ".." not in path.parts
    }
