"""Theory answers (t questions) as a text could give them away: assigned to their variable, or written as a value."""

import ast
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# What stands for an answer still to be given: t1_width = ..., t4_letter = "...", t5_value = None.
OPEN = re.compile(r"[\s`\"'(\[{]*(?:\.\.\.|…|None\b|\?|<|$)")
STORING = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For)


@dataclass
class TheoryAnswers:
    """names: the answers' variables. values: how a value is written (no spaces or thousands separators) -> its name."""

    names: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)

    def add(self, region: str) -> None:
        """Learn the answers of one solution region. It is run: it is the staff's own arithmetic."""
        names = {name for name in _stored(region) if re.match(r"t\d+_", name)}
        self.names |= names
        scope: dict[str, Any] = {"math": math, "np": np}
        try:
            exec(region, scope)
        except NameError:  # it uses another cell's function; the names are still known
            return
        self.values |= {form: name for name in sorted(names) for form in _forms(scope[name])}

    def given_by(self, text: str) -> list[str]:
        """The answers that a text gives away, by assignment in code, comment or prose, or by value."""
        assigned = {match["name"] for match in self._assignments(text) if not OPEN.match(match["value"])}
        plain = re.sub(r"(?<=\d)[,_ ](?=\d{3})|(?<=[\[,])\s+", "", text)
        written = {name for form, name in self.values.items() if re.search(_pattern(form), plain)}
        return sorted(assigned | written | (_stored(text) & self.names))

    def _assignments(self, text: str) -> Iterable[re.Match[str]]:
        if not self.names:
            return ()
        names = "|".join(map(re.escape, sorted(self.names)))
        return re.finditer(rf"\b(?P<name>{names})\b`?\s*(?::[^=\n]+)?:?=(?!=)(?P<value>.*)", text)


def _stored(text: str) -> set[str]:
    """Names that code binds to more than an open answer, in tuples and loops too; none for what is no code."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return set()
    stored = set()
    for node in (node for node in ast.walk(tree) if isinstance(node, STORING)):
        value = getattr(node, "value", None)
        if value is None or not OPEN.match(ast.unparse(value)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            stored |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return stored


def _forms(value: Any) -> list[str]:
    """Texts so specific that they can't stand somewhere by chance: five digits, four decimals, a list of numbers."""
    if isinstance(value, int) and abs(value) >= 10_000:
        return [str(value)]
    if isinstance(value, float) and value != round(value, 3):
        return [f"{value:.4f}"]
    if isinstance(value, (list, tuple)) and len(str(value)) >= 12:
        return ["".join(str(value).split())]
    return []


def _pattern(form: str) -> str:
    """The form as a whole number or list; more decimals may follow, a leading zero may be left out."""
    head = "0?" + re.escape(form[1:]) if form.startswith("0.") else re.escape(form)
    return rf"(?<![\d.]){head}" + ("" if "." in form else r"(?!\d)")
