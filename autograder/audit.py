"""Try a homework's hidden checks: reference, starter, mutants, variants and trivial answers, each through the real path."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

from autograder.checking.verdicts import Outcome, QuestionResult, Verdict
from autograder.course import Homework, load_course

TRIVIAL = ("zeros", "ones", "constant", "nan")


@dataclass(frozen=True)
class Trial:
    """One thing to grade. kind: reference, starter, mutant, variant or trivial; name: seed, file stem or kind of answer."""

    homework: str
    kind: str
    name: str
    questions: tuple[str, ...] | None = None
    seed: str | None = None

    @property
    def question(self) -> str:
        """The question that a mutant or variant is about."""
        return self.name.split("__")[0]


@dataclass
class Audit:
    """What the trials showed. `faults` are sentences for the author; empty when the checks can be trusted."""

    homework: str
    reference: tuple[float, float] = (0.0, 0.0)
    starter: float = 0.0
    trivial: float = 0.0
    killed: int = 0
    mutants: int = 0
    kept: int = 0
    variants: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The one line that sums the audit up."""
        share = 100 * self.reference[0] / self.reference[1] if self.reference[1] else 0
        return (
            f"audit {self.homework}: reference {share:.4g}/100, starter {self.starter:g}, mutants killed "
            f"{self.killed}/{self.mutants}, variants kept {self.kept}/{self.variants}, trivial {self.trivial:g}"
        )

    def add(self, homework: Homework, trial: Trial, verdict: Verdict) -> None:
        """Take one trial's verdict into account."""
        for question_id, question in verdict.questions.items():
            if question.infra_errors or not question.checks:
                detail = next((c.detail for c in question.checks if c.verdict is Outcome.INFRA_ERROR), "no check ran")
                self.faults.append(f"{trial.kind} {trial.name}: the grader failed on {question_id}\n{detail}")
        getattr(self, f"_add_{trial.kind}")(homework, trial, verdict)

    def _add_reference(self, homework: Homework, trial: Trial, verdict: Verdict) -> None:
        whole = sum(q.max_points for q in verdict.questions.values())
        worst = self.reference[0] if self.reference[1] else whole
        self.reference = (min(worst, verdict.points), whole)
        self.faults += [f"reference, seed {verdict.seed}: {text}" for text in _losses(verdict)]

    def _add_starter(self, homework: Homework, trial: Trial, verdict: Verdict) -> None:
        self.starter = verdict.points
        self.faults += [f"starter {text}" for text in _gains(verdict)]

    def _add_trivial(self, homework: Homework, trial: Trial, verdict: Verdict) -> None:
        self.trivial = max(self.trivial, verdict.points)
        self.faults += [f"trivial answers ({trial.name}) {text}" for text in _gains(verdict)]

    def _add_mutant(self, homework: Homework, trial: Trial, verdict: Verdict) -> None:
        self.mutants += 1
        lost = {key for key, question in verdict.questions.items() if question.points < question.max_points}
        killed = trial.question in lost
        self.killed += killed
        if not killed:
            self.faults.append(f"mutant {trial.name} keeps all points of {trial.question}")
        if elsewhere := lost - {trial.question} - homework.dependants(trial.question):
            self.faults.append(f"mutant {trial.name} also loses on {', '.join(sorted(elsewhere))}")

    def _add_variant(self, homework: Homework, trial: Trial, verdict: Verdict) -> None:
        self.variants += 1
        losses = _losses(verdict)
        self.kept += not losses
        self.faults += [f"variant {trial.name}: {text}" for text in losses]


def audit(
    homework: Homework, question: str | None = None, seeds: int = 5, jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Audit:  # fmt: skip
    """Run all trials of a homework in parallel.

    question: only this one, with its mutants and variants, which are then graded on nothing else. seeds: how often the
    reference is graded with fresh inputs. progress: called with (done, total, what).
    """
    found, todo = Audit(homework.name), trials(homework, question, seeds)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs or len(os.sched_getaffinity(0)), mp_context=spawn) as pool:
        futures = {pool.submit(run_trial, trial): trial for trial in todo}
        for done, future in enumerate(as_completed(futures), 1):
            trial = futures[future]
            found.add(homework, trial, future.result())
            if progress is not None:
                progress(done, len(todo), f"{trial.kind} {trial.name}")
    found.faults.sort()
    return found


def trials(homework: Homework, question: str | None, seeds: int) -> list[Trial]:
    """Everything that an audit grades."""
    only = None if question is None else (homework.question(question).id,)
    result = [Trial(homework.name, "reference", str(seed), only) for seed in range(seeds)]
    result += [Trial(homework.name, "starter", "untouched", only)]
    result += [Trial(homework.name, "trivial", kind, only) for kind in TRIVIAL]
    for kind, folder in (("mutant", homework.mutants), ("variant", homework.variants)):
        names = sorted(path.stem for path in folder.glob(f"{question}__*.py" if question else "*.py"))
        result += [Trial(homework.name, kind, name, only or _untrained(homework, name.split("__")[0])) for name in names]
    return result


def _untrained(homework: Homework, question: str) -> tuple[str, ...]:
    """All questions but the experiments that need this one: a checkpoint that other code trained says nothing about it."""
    left_out = {name for name in homework.dependants(question) if name.startswith("e")}
    return tuple(q.id for q in homework.machine_graded if q.id not in left_out)


def _untrained(homework: Homework, question: str) -> tuple[str, ...]:
    """All questions but the experiments that need this one: a checkpoint that other code trained says nothing about it."""
    left_out = {name for name in homework.dependants(question) if name.startswith("e")}
    return tuple(q.id for q in homework.machine_graded if q.id not in left_out)


def run_trial(trial: Trial) -> Verdict:
    """Grade one trial; runs in a process of the pool, which keeps its jail."""
    from autograder.checking.run import check_submission, hand_in, released

    homework = load_course().homework(trial.homework)
    backend = _trivial_backend(trial.name) if trial.kind == "trivial" else _backend()
    notebook = released(homework) if trial.kind == "starter" else _reference(trial.homework)
    if trial.kind in ("mutant", "variant"):
        folder = homework.mutants if trial.kind == "mutant" else homework.variants
        notebook = changed(notebook, trial.question, (folder / f"{trial.name}.py").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        hand_in(homework, notebook, Path(scratch), checkpoints=trial.kind != "starter")
        return check_submission(homework, Path(scratch), trial.questions, trial.seed, backend)


def changed(notebook: NotebookNode, question: str, addition: str) -> NotebookNode:
    """A copy of a notebook in which `addition` follows the question's definition cell, in the same cell."""
    copy = NotebookNode(notebook)
    copy.cells = [NotebookNode(cell) for cell in notebook.cells]
    for cell in copy.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == f"{question}-answer":
            cell.source = f"{cell.source}\n\n{addition}"
            return copy
    raise ValueError(f"the notebook has no cell for {question}")


@cache
def _reference(name: str) -> NotebookNode:
    from autograder.build import reference_notebook

    return reference_notebook(load_course().homework(name))


@cache
def _backend():
    from autograder.jail import make_backend

    return make_backend("bubblewrap")


def _trivial_backend(kind: str):
    from autograder.checking.trivial import TrivialBackend

    return TrivialBackend(_backend(), kind)


def _losses(verdict: Verdict) -> list[str]:
    return [f"{key} loses on {text}" for key, question in verdict.questions.items() for text in _failed(question)]


def _failed(question: QuestionResult) -> Iterator[str]:
    for check in question.checks:
        if check.verdict is not Outcome.OK:
            yield f"{check.name!r} [{check.case}] {check.verdict}: {check.sentence} {check.detail[-600:]}"


def _gains(verdict: Verdict) -> Iterable[str]:
    for key, question in verdict.questions.items():
        for check in question.checks:
            if check.verdict is Outcome.OK:
                yield f"gain on {key}: {check.name!r} [{check.case}]"
