"""Extract zips that strangers made: nothing is written outside the folder, nothing beyond the limits, no link is made.

Sizes are counted from the bytes that come out, because headers lie.
"""

import shutil
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

CHUNK = 1 << 20
JUNK = {"__MACOSX", ".DS_Store", ".ipynb_checkpoints", "__pycache__", "Thumbs.db"}
OTHER_ARCHIVES = {".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".egg", ".alz"}


class ArchiveError(Exception):
    """The archive can't be used; the message says why in words for a person."""


@dataclass
class Budget:
    """What one student may still unpack; shared by all archives of a submission."""

    files: int = 2_000
    total: int = 600_000_000
    each: int = 200_000_000
    directory: int = 4_000_000


def safe_name(name: str) -> PurePosixPath | None:
    """An entry's path below the destination; None when it would lead out of it or can't be a path."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = path.parts
    bad = path.is_absolute() or ".." in parts or not parts or len(parts) > 20 or ":" in parts[0]
    if bad or any(ord(char) < 32 for char in name) or any(len(part.encode(errors="replace")) > 255 for part in parts):
        return None
    return path


def entry_name(info: zipfile.ZipInfo) -> str:
    """The entry's name; without the UTF-8 flag Windows in Korea writes CP949 and older macOS UTF-8."""
    if info.flag_bits & 0x800:
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def extract(archive: Path, destination: Path, budget: Budget) -> list[str]:
    """Extract a zip below `destination`; returns notes on entries that were left out.

    Raises ArchiveError when it is no zip, is encrypted, or would use up the budget; what was written stays for the
    caller to remove.
    """
    if _directory_bytes(archive) > budget.directory:
        raise ArchiveError(f"{archive.name} lists too many files")
    try:
        with zipfile.ZipFile(archive) as opened:
            return _extract_all(opened, archive.name, destination, budget)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
        raise ArchiveError(f"{archive.name} is no zip that can be read: {error}") from error


def _extract_all(opened: zipfile.ZipFile, name: str, destination: Path, budget: Budget) -> list[str]:
    notes = []
    for info in opened.infolist():
        path = safe_name(entry_name(info))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or (path is not None and JUNK & {*path.parts}):
            continue
        if path is None:
            notes.append(f"{name}: {info.filename[:80]!r} leads out of the folder or is no file name; it was left out")
        elif kind not in (0, stat.S_IFREG):
            notes.append(f"{name}: {info.filename[:80]!r} is a link or a special file; it was left out")
        elif info.flag_bits & 1:
            raise ArchiveError(f"{name} is encrypted")
        else:
            _extract_one(opened, info, destination / path, budget, notes)
    return notes


def _extract_one(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, budget: Budget, notes: list[str]) -> None:
    budget.files -= 1
    if budget.files < 0:
        raise ArchiveError("too many files in one submission")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            notes.append(f"{info.filename!r} is in the archive twice; the later one counts")
        with opened.open(info) as source, target.open("wb") as copy:
            copy_within(source, copy, info.filename, budget)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        notes.append(f"{info.filename!r} is both a file and a folder in the archive; it was left out")


def copy_within(source: IO[bytes], copy: IO[bytes], name: str, budget: Budget) -> None:
    """Copy a file by blocks. Raises ArchiveError as soon as it goes beyond the budget."""
    written = 0
    while block := source.read(CHUNK):
        written += len(block)
        budget.total -= len(block)
        if written > budget.each or budget.total < 0:
            raise ArchiveError(f"{name[:80]!r} unpacks to more than a submission may have")
        copy.write(block)


def unpack(file: Path, destination: Path, budget: Budget, depth: int = 2) -> list[str]:
    """Put a handed-in file where it belongs: a zip's content (zips in it too, `depth` deep), else the file itself.

    A zip that is refused is kept as it came, so that a person can look at it; the notes name it.
    """
    if file.suffix.lower() != ".zip":
        destination.mkdir(parents=True, exist_ok=True)
        shutil.move(file, destination / file.name)
        return [f"{file.name} was kept unopened: only .zip is opened"] if file.suffix.lower() in OTHER_ARCHIVES else []
    inside = destination / f".{file.stem}.unpacking"
    try:
        notes = extract(file, inside, budget)
    except ArchiveError as error:
        shutil.rmtree(inside, ignore_errors=True)
        destination.mkdir(parents=True, exist_ok=True)
        shutil.move(file, destination / file.name)
        return [f"{error}; {file.name} was kept unopened"]
    file.unlink()
    for nested in sorted(inside.rglob("*.zip")) if depth > 1 and inside.exists() else []:
        notes += unpack(nested, nested.parent / nested.stem, budget, depth - 1) if nested.is_file() else []
    _move_into(inside, destination, file.stem)
    return notes


def _move_into(inside: Path, destination: Path, stem: str) -> None:
    """A zip's content goes straight into the folder, or where it would meet other files into a folder of its own."""
    entries = sorted(inside.iterdir()) if inside.exists() else []
    if any((destination / entry.name).exists() for entry in entries):
        inside.rename(destination / f"{stem}-unpacked")
        return
    for entry in entries:
        entry.rename(destination / entry.name)
    if inside.exists():
        inside.rmdir()


def _directory_bytes(archive: Path) -> int:
    """Size of the zip's list of files, which zipfile would read whole into memory; 0 when there is none."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, size - 65_557))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 22:
            return 0
        found = struct.unpack_from("<L", tail, at + 12)[0]
        if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
            return found
        file.seek(min(struct.unpack_from("<Q", tail, at - 12)[0], size))  # zip64: the size stands in another record
        record = file.read(56).ljust(56, b"\0")
        return max(found if found != 0xFFFFFFFF else 0, struct.unpack_from("<Q", record, 40)[0])
