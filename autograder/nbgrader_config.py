"""nbgrader's configuration: one definition for our own runs and for nbgrader's commands and formgrader in the term's tree.

`write_config` leaves a two-line nbgrader_config.py there that calls `configure`.
"""

from pathlib import Path

from traitlets.config import Config

from autograder.course import Course

SANITIZE = (
    "autograder.gradebook.preprocessors.KeepSafeOutputs",
    "autograder.gradebook.preprocessors.DropRepeatedIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
)
AUTOGRADE = (
    "autograder.gradebook.preprocessors.InjectVerdicts",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "autograder.gradebook.preprocessors.SaveReports",
    "nbgrader.preprocessors.AssignLatePenalties",
)  # metadata were checked above, and an eighth of the time goes into each check
PREPARED = "prepared"  # pre-flight's output, which nbgrader takes for what was submitted
FILE = '''"""Written by `autograder grade`: nbgrader and formgrader use the course's configuration."""

from autograder.nbgrader_config import configure

configure(get_config(), {root!r}, {work!r})
'''


def configure(config: Config, root: str, work: str) -> None:
    """Set everything that grading without Execute needs. root: the repository. work: the term's tree."""
    config.CourseDirectory.root = work
    config.CourseDirectory.submitted_directory = PREPARED
    config.Autograde.sanitize_preprocessors = list(SANITIZE)
    config.Autograde.autograde_preprocessors = list(AUTOGRADE)
    config.OverwriteCells.add_missing_cells = True
    config.HTMLExporter.sanitize_html = True  # nothing of a student's may run in the grader's session
    config.HTMLExporter.filters = {"markdown2html": "autograder.gradebook.display.safe_markdown"}
    for name in ("InjectVerdicts", "SaveReports"):
        config[name].root = root
        config[name].work = work


def nbgrader_config(course: Course) -> Config:
    """The configuration for a run in this process."""
    config = Config()
    configure(config, str(course.root), str(course.work))
    return config


def write_config(course: Course) -> Path:
    """Leave nbgrader_config.py in the term's tree, for `nbgrader` commands and formgrader started there."""
    path = course.work / "nbgrader_config.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = FILE.format(root=str(course.root), work=str(course.work))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path
