"""From a cell as a student wrote it to the definitions that grading loads.

Line numbers never change: what is left out is blanked, so an error message names the line that the student sees.
"""

import ast
import builtins
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from IPython.core.inputtransformer2 import TransformerManager

MAX_CHARACTERS = 400_000
BODY_MAGICS = {"time", "timeit", "capture", "prun", "memit"}
CHEAP_BUILTINS = frozenset(
    (
        abs, bool, bytes, complex, dict, divmod, enumerate, float, frozenset, int, len, list, map, max, min, pow,
        property, range, reversed, round, set, slice, sorted, staticmethod, str, sum, super, tuple, type, zip,
    )
)  # fmt: skip
TRAINING = frozenset(("backward", "step", "fit"))
SIMPLE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


class CellError(Exception):
    """The cell is no Python; the message names the line."""


@dataclass(frozen=True)
class Reduced:
    """What is left of a cell; first lines (1-based) of the statements left out, and the names that only they bind."""

    source: str
    left_out: tuple[int, ...] = ()
    lost: frozenset[str] = frozenset()


@lru_cache(maxsize=512)
def without_magics(source: str) -> Reduced:
    """Python without IPython's magics, shell lines and help requests. Raises CellError when it is no Python."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")  # Python's own rule; lines are counted below
    body = _without_cell_magic(source)
    if body is None:
        return Reduced("\n" * source.count("\n"), (1,))
    if len(body) > MAX_CHARACTERS:
        raise CellError(f"the cell has {len(body):,} characters; the limit is {MAX_CHARACTERS:,}")
    tree, python = _parse_ipython(body)
    if "get_ipython" not in python:
        return Reduced(python)
    dropped = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _calls_ipython(node)]
    if not dropped:
        return Reduced(python)
    try:
        reduced = _without(python, dropped)
        parse(reduced.source)
    except CellError:  # an `elif` can't be left out alone: leave out the whole top-level statement
        reduced = _without(python, [node for node in tree.body if {*ast.walk(node)} & {*dropped}])
    return reduced


def _parse_ipython(body: str) -> tuple[ast.Module, str]:
    """The tree of a cell and its text as plain Python, in which magics have become calls of get_ipython()."""
    try:
        return parse(body), body
    except CellError:
        head = body[: len(body) - len(body.lstrip("\n"))]  # the transformer would remove leading empty lines
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about odd line ends, which are the student's
            python = head + TransformerManager().transform_cell(body[len(head) :])
    except (SyntaxError, RecursionError, ValueError):
        python = body
    return parse(python), python


@lru_cache(maxsize=512)
def parse(source: str) -> ast.Module:
    """The syntax tree (not to be changed) of a cell that also compiles. Raises CellError with the line."""
    try:
        tree = ast.parse(source)
        compile(tree, "<cell>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise CellError(f"syntax error in line {error.lineno or 1}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise CellError(f"the cell can't be read as Python: {error}") from error
    return tree


def does_something(source: str) -> bool:
    """Whether a cell that parses has more than comments, words and `pass`."""
    return any(not _is_text(node) for node in parse(source).body)


def defined_names(source: str) -> set[str]:
    """Names that the cell's top level binds: classes, functions, variables (not imports). Empty for no Python."""
    try:
        tree = parse(without_magics(source).source)
    except CellError:
        return set()
    return set().union(*(_bound(node) for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))))


def imported_names(source: str) -> set[str]:
    """Names that the cell's top level imports, but for the course's own library, whose functions train and draw."""
    try:
        tree = parse(without_magics(source).source)
    except CellError:
        return set()
    imports = (node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_common(node))
    return set().union(*map(_bound, imports))


def training_functions(sources: list[str]) -> frozenset[str]:
    """Functions of a notebook that train: they call backward, step or fit, or a function that does."""
    functions: dict[str, set[str]] = {}
    for source in sources:
        with suppress(CellError):
            body = parse(without_magics(source).source).body
            functions |= {node.name: _calls(node) for node in body if isinstance(node, ast.FunctionDef)}
    found: set[str] = set()
    while more := {name for name, called in functions.items() if called & (TRAINING | found)} - found:
        found |= more
    return frozenset(found)


def without_training(source: str, lost: frozenset[str] = frozenset(), trainers: frozenset[str] = frozenset()) -> Reduced:
    """A question's cell without top-level statements that train, and without those that need what they would bind.

    lost: names that earlier cells would have bound by statements that were left out. trainers: functions that train.
    """

    def keep(node: ast.stmt, unknown: set[str]) -> bool:
        if isinstance(node, SIMPLE):
            return True
        return not _calls(node) & (TRAINING | trainers) and not _reads(node) & unknown

    return _reduce(source, lost, keep)


def definitions_only(
    source: str, lost: frozenset[str] = frozenset(), imported: frozenset[str] = frozenset(), values: bool = True,
    known: frozenset[str] = frozenset(),
) -> Reduced:  # fmt: skip
    """Imports, functions, classes and (if `values`) assignments of simple values; all else is left out.

    A simple value is made of constants, names, operators and calls of cheap builtins or of imported modules' functions.
    lost: as above. imported: names that earlier cells import. known: names that must not be defined again here.
    """
    modules = imported | imported_names(source)

    def keep(node: ast.stmt, unknown: set[str]) -> bool:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return True
        if _bound(node) & known:
            return False
        return isinstance(node, SIMPLE) or (values and _is_plain(node, modules) and not _reads(node) & unknown)

    return _reduce(source, lost, keep)


def _reduce(source: str, lost: frozenset[str], keep: Callable[[ast.stmt, set[str]], bool]) -> Reduced:
    tree = parse(source)
    unknown = set(lost)
    dropped = []
    for node in tree.body:
        if keep(node, unknown):
            unknown -= _bound(node)
        elif not _is_text(node):
            dropped.append(node)
            unknown |= _bound(node)
    return replace(_without(source, dropped), lost=frozenset(unknown))


def _without_cell_magic(source: str) -> str | None:
    """The cell without its `%%magic` line; None when the magic takes the body for something else than Python."""
    head = re.match(r"\s*%%(\w+)[^\n]*", source)
    if head is None:
        return source
    return "\n" * head.group().count("\n") + source[head.end() :] if head.group(1) in BODY_MAGICS else None


def _own_parts(node: ast.stmt) -> list[ast.AST]:
    """The expressions of a statement itself, without those of statements inside it."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return list(node.decorator_list)
    parts = [child for child in ast.iter_child_nodes(node) if not isinstance(child, (ast.stmt, ast.ExceptHandler))]
    return [part for part in parts if not isinstance(part, ast.match_case)]


def _calls_ipython(node: ast.stmt) -> bool:
    names = (part for own in _own_parts(node) for part in ast.walk(own))
    return any(isinstance(part, ast.Name) and part.id == "get_ipython" for part in names)


def _bound(node: ast.stmt) -> set[str]:
    """Names that a top-level statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _reads(node: ast.stmt) -> set[str]:
    """Names that running the statement reads at once (a function's body runs later)."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return set()
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def _calls(node: ast.stmt) -> set[str]:
    """Last names of everything that a statement calls: `step` of `optimizer.step()`."""
    called = (part.func for part in ast.walk(node) if isinstance(part, ast.Call))
    return {getattr(func, "attr", getattr(func, "id", "")) for func in called}


def _is_common(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether it imports the course's own library, whose functions train and draw."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return any(name.split(".")[0] == "common" for name in names)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _is_plain(node: ast.stmt, imported: frozenset[str] | set[str]) -> bool:
    if isinstance(node, ast.Try):
        inner = [*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)]
        return all(isinstance(s, (*SIMPLE, ast.Pass)) or _is_plain(s, imported) for s in inner)
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return isinstance(node, ast.Pass)
    calls = (part for part in ast.walk(node) if isinstance(part, ast.Call))
    loops = any(isinstance(part, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)) for part in ast.walk(node))
    return not loops and all(_is_cheap(call.func, imported) for call in calls)


def _is_cheap(func: ast.expr, imported: frozenset[str] | set[str]) -> bool:
    if isinstance(func, ast.Constant):
        return True
    while isinstance(func, ast.Attribute):
        func = func.value
    if isinstance(func, ast.Constant):
        return True
    return isinstance(func, ast.Name) and (func.id in imported or getattr(builtins, func.id, None) in CHEAP_BUILTINS)


def _without(source: str, nodes: list[ast.stmt]) -> Reduced:
    """The source with each of the statements replaced by `pass` and every line where it was."""
    inner = {part for node in nodes for part in ast.walk(node) if part is not node}
    outer = sorted((node for node in nodes if node not in inner), key=lambda n: (n.lineno, n.col_offset))
    lines = [line.encode() for line in source.split("\n")]
    for node in reversed(outer):
        _blank(lines, node)
    return Reduced(b"\n".join(lines).decode(), tuple(node.lineno for node in outer))


def _blank(lines: list[bytes], node: ast.stmt) -> None:
    decorators = getattr(node, "decorator_list", [])
    first, last = min([node.lineno, *(d.lineno for d in decorators)]) - 1, node.end_lineno - 1
    head = lines[first][: node.col_offset]  # a decorator's @ stands in the column of its def
    tail = lines[last][node.end_col_offset :]
    joint = b" \\" if tail.strip() and last > first else b""  # `x = [...]; y = 1` over several lines
    lines[first : last + 1] = [joint] * (last - first) + [b""]
    lines[first] = head + b"pass" + lines[first]
    lines[last] += tail
