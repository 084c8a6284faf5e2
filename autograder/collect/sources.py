"""Where submissions come from: Blackboard's zip, the same unzipped, or a folder with one entry a student -> Attempts."""

import re
import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from autograder.collect.archives import JUNK, Budget, copy_within, entry_name
from autograder.collect.names import BlackboardName, find_column, parse_name, read_timestamp, student_id, to_utc
from autograder.course import CourseError

MAX_FILE = 500_000_000
MAX_INFO = 200_000


class CollectError(CourseError):
    """The download can't be read at all; the message says what to do."""


@dataclass
class Attempt:
    """One attempt of a student. submitted: UTC. files: name -> a function that writes the file to a path.
    about: Blackboard's text on the attempt, with the student's comments."""

    student: str
    submitted: datetime
    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    about: str = ""


def read_attempts(path: Path, homework: str, zone: ZoneInfo, opened: ExitStack) -> tuple[list[Attempt], list[str]]:
    """All attempts in a download, and sentences on what could not be understood.

    opened: keeps a zip open while the attempts' files are used. Raises CollectError.
    """
    if path.is_dir():
        files = {file.name: _copier(file) for file in sorted(path.iterdir()) if file.is_file() and not file.is_symlink()}
        texts = {name: lambda name=name: (path / name).open("rb") for name in files}
        if any("_attempt_" in name for name in files):
            return _blackboard(files, texts, zone)
        return _folder(path, homework)
    try:
        archive = opened.enter_context(zipfile.ZipFile(path))
    except FileNotFoundError:
        raise CollectError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise CollectError(f"{path} is no zip: {error}; download it from Blackboard's Grade Centre again") from error
    entries = {Path(entry_name(info)).name: info for info in archive.infolist() if not info.is_dir()}
    entries = {name: info for name, info in entries.items() if not name.startswith("._")}  # macOS leaves these
    files = {name: _unzipper(archive, info) for name, info in entries.items()}
    return _blackboard(files, {name: lambda info=info: archive.open(info) for name, info in entries.items()}, zone)


def _copier(file: Path) -> Callable[[Path], None]:
    return lambda target: shutil.copyfile(file, target)


def _unzipper(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        with archive.open(info) as source, target.open("wb") as copy:
            copy_within(source, copy, info.filename, Budget(total=MAX_FILE, each=MAX_FILE))

    return write


def _blackboard(files: dict, texts: dict, zone: ZoneInfo) -> tuple[list[Attempt], list[str]]:
    about = {name: _text(texts[name]) for name in files if re.search(r"_attempt_[\d-]{19}\.txt$", name)}
    users = [found[1] for text in about.values() if (found := re.search(r"^Name: .*\(([^()\n]+)\)\s*$", text, re.M))]
    try:
        column = find_column(files, users)
    except ValueError as error:
        raise CollectError(str(error)) from error
    attempts: dict[tuple[str, datetime], Attempt] = {}
    odd = []
    for name, write in files.items():
        try:
            parsed = parse_name(name, column)
            attempt = _attempt(attempts, parsed, zone)
        except ValueError as error:
            odd.append(f"{error}; the file was left out")
            continue
        if parsed.file is None:
            attempt.about = about[name]
        else:
            attempt.files[_plain(parsed.file)] = write
    return list(attempts.values()), odd


def _text(open_file: Callable) -> str:
    with open_file() as file:
        return file.read(MAX_INFO).decode("utf-8-sig", "replace")


def _attempt(attempts: dict, name: BlackboardName, zone: ZoneInfo) -> Attempt:
    student, submitted = student_id(name.user), to_utc(name.submitted, zone)
    return attempts.setdefault((student, submitted), Attempt(student, submitted))


def _plain(name: str) -> str:
    """A file name that is one path component and not hidden."""
    return re.sub(r"[\x00-\x1f/\\:]", "_", name).lstrip(".") or "file"


def _folder(path: Path, homework: str) -> tuple[list[Attempt], list[str]]:
    """One folder a student (with or without a folder for the homework in it), or files `<homework>_<student>.zip`."""
    attempts, odd = [], []
    for entry in sorted(path.iterdir()):
        if entry.name in JUNK or entry.name.startswith("."):
            continue
        inside = entry / homework if (entry / homework).is_dir() else entry
        name = entry.name if entry.is_dir() else entry.stem.removeprefix(f"{homework}_")
        try:
            attempts.append(_from_folder(student_id(name), inside))
        except ValueError as error:
            odd.append(f"{entry.name}: {error}; it was left out")
    if not attempts:
        raise CollectError(f"{path} holds no submissions: expected one folder, or one {homework}_<student>.zip, a student")
    return attempts, odd


def _from_folder(student: str, inside: Path) -> Attempt:
    """An attempt from a folder or a single file; its time is timestamp.txt's, else the newest file's."""
    found = [inside] if inside.is_file() else [p for p in sorted(inside.rglob("*")) if p.is_file() and not p.is_symlink()]
    kept = [p for p in found if not JUNK & {*p.parts} and p.name != "timestamp.txt"]
    if not kept:
        raise ValueError("there is no file in it")
    stamp = inside / "timestamp.txt"
    newest = max(p.stat().st_mtime for p in kept)
    submitted = read_timestamp(stamp.read_text()) if stamp.is_file() else datetime.fromtimestamp(newest, UTC)
    base = inside.parent if inside.is_file() else inside
    return Attempt(student, submitted, {str(p.relative_to(base)): _copier(p) for p in kept})
