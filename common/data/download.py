"""Full-size data sets: taken from a local folder, or downloaded once, resumed when cut, and checked.

Folder, in this order: the argument `folder`, the environment variable DATA_FOLDER, and the user's cache. A file is
looked for in <folder>/<name>/ and in <folder> itself. The environment variable DATA_MIRROR may name an address of your
own (with <name>/<file> below it), which is then asked first.
"""

import gzip
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from common.data.formats import FormatError, read_cifar, read_idx, read_svhn
from common.data.images import ImageSet
from common.data.sources import SOURCES, RemoteFile, Source

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # per mirror: a cut connection goes on where it stopped
BLOCK = 1 << 20
NETWORK_ERRORS = (OSError, http.client.HTTPException)


class DownloadError(Exception):
    """A data set could not be had; the message lists what was tried and says what to do."""


def full_set(name: str, split: str = "train", folder: str | Path | None = None) -> ImageSet:
    """All images of a full-size set, downloaded when they are not there yet.

    name: fashion_mnist, mnist, kmnist (N, 1, 28, 28), cifar10, svhn (N, 3, 32, 32). split: "train" or "test".
    Raises ValueError for an unknown name or split, DownloadError when files are missing or damaged.
    """
    source = _source(name)
    if split not in source.files:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(source.files)}")
    paths = _fetch_all(name, source, source.files[split], folder)
    try:
        images, labels = _read(source.format, paths, split)
    except FormatError as error:
        raise DownloadError(f"{error}: delete it and try again") from error
    images = torch.from_numpy(np.array(images, order="C"))  # a copy: files are read as read-only memory
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), source.classes)


def download(name: str, folder: str | Path | None = None) -> Path:
    """Make sure that all files of a set are there and right; return the folder they are in.

    Raises ValueError for an unknown name, DownloadError when a file can't be had.
    """
    source = _source(name)
    files = dict.fromkeys(file for split in source.files.values() for file in split)
    return _fetch_all(name, source, tuple(files), folder)[0].parent


def fetch(urls: list[str], target: Path, is_right: Callable[[Path], bool]) -> None:
    """Download `target` from the first address that delivers the right file.

    What has arrived is kept in <target>.part, also when every address fails, so that the next call goes on there.
    A complete file with the wrong hash is removed. Raises DownloadError with what each address answered.
    """
    part = target.with_name(target.name + ".part")
    reports = []
    for url in urls:
        try:
            _fetch_from(url, part, is_right)
        except NETWORK_ERRORS as error:
            reports.append(f"{url}: {_reason(error)}")
            continue
        os.replace(part, target)
        return
    raise DownloadError("\n".join(f"  {report}" for report in reports))


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}: choose one of {', '.join(SOURCES)}")
    return SOURCES[name]


def _read(kind: str, paths: list[Path], split: str) -> tuple[np.ndarray, np.ndarray]:
    if kind == "idx":
        return read_idx(paths[0])[:, None], read_idx(paths[1])
    return read_cifar(paths[0], split) if kind == "cifar" else read_svhn(paths[0])


def _fetch_all(name: str, source: Source, files: tuple[RemoteFile, ...], folder: str | Path | None) -> list[Path]:
    root = _folder(folder)
    paths = []
    for file in files:
        present = [path for path in (root / name / file.name, root / file.name) if path.is_file()]
        right = [path for path in present if _matches(path, file)]
        paths.append(right[0] if right else _fetch_file(name, source, file, root, damaged=bool(present)))
    return paths


def _fetch_file(name: str, source: Source, file: RemoteFile, root: Path, damaged: bool) -> Path:
    target = root / name / file.name
    own = os.environ.get("DATA_MIRROR")
    urls = [f"{own.rstrip('/')}/{name}/{file.name}"] if own else []
    urls += [mirror + file.name for mirror in source.mirrors]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(urls, target, lambda path: _matches(path, file))
    except (DownloadError, OSError) as error:
        raise DownloadError(_advice(name, source, file, root, damaged, error)) from error
    return target


def _advice(name: str, source: Source, file: RemoteFile, root: Path, damaged: bool, error: Exception) -> str:
    files = ", ".join(dict.fromkeys(f.name for split in source.files.values() for f in split))
    state = "is damaged, or another file of that name," if damaged else "is missing"
    return (
        f"{file.name} of {name} {state} in {root / name}, and could not be downloaded:\n{error}\n"
        f"Without a network: copy {files} from another machine into a folder and name the folder, "
        f"full_set({name!r}, folder=...) or the environment variable DATA_FOLDER. "
        "The sets that come with the course (fashion_mnist(), avatars(), digits()) need no network."
    )


def _folder(folder: str | Path | None) -> Path:
    chosen = folder or os.environ.get("DATA_FOLDER")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "deep_generative_models"


def _fetch_from(url: str, part: Path, is_right: Callable[[Path], bool]) -> None:
    """Bring `part` to the complete right file, or raise OSError."""
    for attempt in range(1, ATTEMPTS + 1):
        resumed = _size(part) > 0
        try:
            _transfer(url, part)
        except urllib.error.HTTPError:
            raise
        except NETWORK_ERRORS:
            if attempt == ATTEMPTS:
                raise
            continue
        if is_right(part):
            return
        part.unlink()
        if not resumed:  # a resumed file may have begun at another mirror: that is worth a second try from the start
            break
    raise OSError("delivers another file than expected (wrong hash); it was removed")


def _transfer(url: str, part: Path) -> None:
    """One request: append to `part` what is missing, or write it anew when the server knows no ranges."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return  # nothing is missing
        part.unlink()
        response = urllib.request.urlopen(url, timeout=TIMEOUT)
    with response:
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        _store(response, part, have if resumes else 0)


def _store(response: http.client.HTTPResponse, part: Path, start: int) -> None:
    announced = response.headers.get("Content-Length")
    total = start + int(announced) if announced else None
    with (
        open(part, "ab" if start else "wb") as file,
        tqdm(desc=part.stem, initial=start, total=total, unit="B", unit_scale=True, file=sys.stdout, leave=False) as bar,
    ):
        while block := response.read(BLOCK):
            file.write(block)
            bar.update(len(block))
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection was cut after {_size(part)} of {total} bytes")


def _matches(path: Path, file: RemoteFile) -> bool:
    algorithm, expected = file.digest.split(":")
    digest = hashlib.new(algorithm)
    try:
        with gzip.open(path) if file.of == "content" else open(path, "rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    except (OSError, EOFError, zlib.error):  # no complete gzip file
        return False
    return digest.hexdigest() == expected


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error) or type(error).__name__
