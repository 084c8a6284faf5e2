"""What replaces Execute in nbgrader's autograde: verdicts of phase 1 go into the grade cells, nothing is run."""

import math
from functools import lru_cache
from pathlib import Path

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import DeduplicateIds, NbGraderPreprocessor
from traitlets import Unicode

from autograder.checking.verdicts import QuestionResult, Verdict
from autograder.course import Homework, load_course
from autograder.feedback.text import question_text
from autograder.grading.records import Records
from autograder.submission.outputs import safe_outputs

Processed = tuple[NotebookNode, ResourcesDict]


class MissingResult(Exception):
    """A grade cell has no result. Without one nbgrader would give full points, so grading this submission stops."""


class KeepSafeOutputs(NbGraderPreprocessor):
    """Plain text and pictures stay for the grader to see; everything that could carry a script goes."""

    def preprocess_cell(self, cell: NotebookNode, resources: ResourcesDict, cell_index: int) -> Processed:
        if cell.cell_type == "code":
            cell.outputs = [] if utils.is_grade(cell) else safe_outputs(cell.outputs)
            cell.execution_count = None
        return cell, resources


class DropRepeatedIds(DeduplicateIds):
    """nbgrader's DeduplicateIds, without the empty metadata that it leaves and that aborts the whole class."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> Processed:
        nb, resources = super().preprocess(nb, resources)
        for cell in nb.cells:
            if not cell.metadata.get("nbgrader", True):
                del cell.metadata["nbgrader"]
        return nb, resources


class _UsesVerdicts(NbGraderPreprocessor):
    """Finds the homework and the student's verdict."""

    root = Unicode(help="the repository: where course.toml is").tag(config=True)
    work = Unicode(help="the term's tree: where verdicts/ is").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> Processed:
        about = resources["nbgrader"]
        self.homework = _homework(self.root, self.work, about["assignment"])
        self.verdict = Records(Path(self.work), self.homework).read(about["student"])
        if self.verdict is None:
            raise MissingResult(f"{about['student']} has no verdict: run `autograder grade {about['assignment']}`")
        return super().preprocess(nb, resources)


class InjectVerdicts(_UsesVerdicts):
    """Write each machine-graded question's points and report into its grade cell, as if the cell had been run."""

    def preprocess_cell(self, cell: NotebookNode, resources: ResourcesDict, cell_index: int) -> Processed:
        if utils.is_grade(cell) and not utils.is_solution(cell):
            question_id = cell.metadata.nbgrader["grade_id"]
            result = result_of(self.verdict, question_id)
            report = question_text(self.homework.question(question_id), result)
            points = repr(clipped(result.points, float(cell.metadata.nbgrader["points"])))
            # nbgrader fails open: anything but a plain number here, or nothing, would mean full points.
            cell.outputs = [
                new_output("stream", name="stdout", text=report),
                new_output("execute_result", data={"text/plain": points}, execution_count=None),
            ]
        return cell, resources


class SaveReports(_UsesVerdicts):
    """Make each question's report the comment on its answer, which formgrader and exports show. Follows SaveAutoGrades."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> Processed:
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as self.gradebook:
            nb, resources = super().preprocess(nb, resources)
            self.gradebook.db.commit()
        return nb, resources

    def preprocess_cell(self, cell: NotebookNode, resources: ResourcesDict, cell_index: int) -> Processed:
        name = cell.metadata.nbgrader["grade_id"] if utils.is_solution(cell) else ""
        question_id = name.removesuffix("-answer")
        if question_id in self.verdict.questions and question_id != name:
            about = resources["nbgrader"]
            comment = self.gradebook.find_comment(name, about["notebook"], about["assignment"], about["student"])
            comment.auto_comment = question_text(self.homework.question(question_id), self.verdict.questions[question_id])
        return cell, resources


def result_of(verdict: Verdict, question_id: str) -> QuestionResult:
    """The question's result. Raises MissingResult when it was not graded, or could not be by the grader's own fault."""
    result = verdict.questions.get(question_id)
    if result is None or not result.checks:
        raise MissingResult(f"{question_id} has no result")
    if result.infra_errors:
        raise MissingResult(f"{question_id} could not be graded by the grader's own fault")
    return result


def clipped(points: float, maximum: float) -> float:
    """A plain float between 0 and the maximum. Raises MissingResult for what is no finite number."""
    if not isinstance(points, (int, float)) or not math.isfinite(points):
        raise MissingResult(f"{points!r} is no score")
    return float(min(max(points, 0.0), maximum))


@lru_cache(maxsize=8)
def _homework(root: str, work: str, name: str) -> Homework:
    return load_course(Path(root), Path(work)).homework(name)
