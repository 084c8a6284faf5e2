"""Blackboard's file names: `<column>_<user>_attempt_YYYY-MM-DD-HH-MM-SS_<file>`, and `...SS.txt` for the attempt itself.

Column and user may both hold underscores, so a name can be split only when the column is known; `find_column` finds it
from all names of one download.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

STAMP = "%Y-%m-%d-%H-%M-%S"
ATTEMPT = re.compile(r"_attempt_(\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)(?=_.|\.txt$)", re.DOTALL)
STUDENT = re.compile(r"[\w@+-][\w.@+-]{0,63}")


@dataclass(frozen=True)
class BlackboardName:
    """One file of an attempt. submitted: the server's wall clock. file: None for the text about the attempt."""

    column: str
    user: str
    submitted: datetime
    file: str | None

    def __str__(self) -> str:
        end = ".txt" if self.file is None else f"_{self.file}"
        return f"{self.column}_{self.user}_attempt_{self.submitted.strftime(STAMP)}{end}"


def parse_name(name: str, column: str) -> BlackboardName:
    """The parts of a file name of a column's download. ValueError, with a sentence, when it is no such name."""
    if not name.startswith(f"{column}_"):
        raise ValueError(f"{name!r} does not belong to the column {column!r}")
    found = ATTEMPT.search(name, len(column) + 1)
    if found is None:
        raise ValueError(f"{name!r} has no _attempt_YYYY-MM-DD-HH-MM-SS as Blackboard writes it")
    try:
        submitted = datetime.strptime(found[1], STAMP)
    except ValueError:
        raise ValueError(f"{name!r}: {found[1]} is no date and time") from None
    rest = name[found.end() :]
    return BlackboardName(column, name[len(column) + 1 : found.start()], submitted, rest[1:] if rest[0] == "_" else None)


def find_column(names: Iterable[str], users: Iterable[str] = ()) -> str:
    """The column's name, which all names of a download begin with.

    users: names of users that are known to be among them (from the texts about attempts); they settle what underscores
    leave open. Without them the column is all that the names share up to an underscore, or for one user up to the first.
    ValueError when no name is Blackboard's.
    """
    heads = {name[: found.start()] for name in names if (found := ATTEMPT.search(name))}
    if not heads:
        raise ValueError("no file is named as Blackboard names them: <column>_<user>_attempt_YYYY-MM-DD-HH-MM-SS_<file>")
    suffixes = sorted({f"_{user}" for user in users}, key=len, reverse=True)
    told = {head.removesuffix(end) for head in heads for end in suffixes if head.endswith(end)}
    if columns := [column for column in told if all(head.startswith(f"{column}_") for head in heads)]:
        return max(columns, key=len)
    if len(heads) == 1:
        return min(heads).partition("_")[0]
    return _shared(min(heads), max(heads)).rpartition("_")[0]


def _shared(a: str, b: str) -> str:
    """What the smallest and the largest of some texts, and so all of them, begin with."""
    return a[: next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))]


def student_id(user: str) -> str:
    """The user as a folder name and nbgrader id. ValueError when it can't be one."""
    name = unicodedata.normalize("NFC", user)
    if not STUDENT.fullmatch(name):
        raise ValueError(f"{user!r} can't be a student's id: letters, digits and . _ - @ + are allowed")
    return name


def to_utc(submitted: datetime, zone: ZoneInfo) -> datetime:
    """The server's wall clock as an instant; of an hour that a clock change repeats, the first."""
    return submitted.replace(tzinfo=zone).astimezone(UTC)


def timestamp_text(submitted: datetime) -> str:
    """An instant as nbgrader's timestamp.txt holds it."""
    return submitted.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def read_timestamp(text: str) -> datetime:
    """Back from timestamp.txt. ValueError when it is something else."""
    return datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
