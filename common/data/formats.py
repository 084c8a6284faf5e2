"""Readers of the formats in which the full-size sets are published. None of them runs code that a file carries."""

import gzip
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_MEMBERS = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
MAT_COMPRESSED, MAT_MATRIX = 15, 14
MAT_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


class FormatError(Exception):
    """A data file is not what its name says, or is cut short."""


def read_idx(path: Path) -> np.ndarray:
    """A gzipped idx file of unsigned bytes: two zeros, type 8, the number of dimensions, big-endian sizes, data."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path} is no complete gzip file ({error})") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise FormatError(f"{path} is no idx file of bytes")
    ndim = content[3]
    shape = struct.unpack(f">{ndim}I", content[4 : 4 + 4 * ndim])
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * ndim)
    if data.size != np.prod(shape, dtype=np.int64):
        raise FormatError(f"{path} announces shape {shape} and holds {data.size} bytes")
    return data.reshape(shape)


def read_cifar(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's binary archive: images (N, 3, 32, 32) and labels (N,), both uint8. Nothing is unpacked to disk."""
    records = []
    try:
        with tarfile.open(path) as archive:
            for name in CIFAR_MEMBERS[split]:
                member = archive.extractfile(f"cifar-10-batches-bin/{name}")
                records.append(np.frombuffer(member.read(), np.uint8).reshape(-1, CIFAR_RECORD))
    except (tarfile.TarError, KeyError, AttributeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path} is no complete archive of CIFAR-10's binary version ({error})") from error
    data = np.concatenate(records)
    return data[:, 1:].reshape(-1, 3, 32, 32), data[:, 0]


def read_svhn(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """SVHN's cropped digits: images (N, 3, 32, 32) and labels (N,), uint8; the file's label 10 stands for digit 0."""
    arrays = read_mat(path)
    if not {"X", "y"} <= arrays.keys():
        raise FormatError(f"{path} holds {sorted(arrays)}, expected X and y")
    return arrays["X"].transpose(3, 2, 0, 1), arrays["y"].reshape(-1) % 10


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """Real numeric arrays of a little-endian MATLAB 5 file, by name."""
    content = path.read_bytes()
    if len(content) < 128 or content[126:128] != b"IM":
        raise FormatError(f"{path} is no MATLAB 5 file")
    arrays = {}
    try:
        for kind, data in _elements(content, 128):
            if kind == MAT_COMPRESSED:
                kind, data = next(_elements(zlib.decompress(data), 0))
            if kind == MAT_MATRIX:
                name, array = _matrix(data)
                arrays[name] = array
    except (struct.error, zlib.error, ValueError, KeyError, StopIteration) as error:
        raise FormatError(f"{path} is cut short or of an unknown kind ({error})") from error
    return arrays


def _elements(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each element. Up to 4 bytes are packed into the tag; others are padded to 8."""
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        start = at + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if start + size > len(data):
            raise ValueError(f"an element of {size} bytes ends after the data")
        yield kind, data[start : start + size]
        padded = 8 if start == at + 4 else 8 + (size if kind == MAT_COMPRESSED else -(-size // 8) * 8)
        at += padded


def _matrix(data: bytes) -> tuple[str, np.ndarray]:
    """Name and array of a matrix element: flags, sizes, name, then the values in column-major order."""
    (_, _flags), (_, sizes), (_, name), (kind, values) = list(_elements(data, 0))[:4]
    shape = np.frombuffer(sizes, "<i4")
    return name.decode("ascii"), np.frombuffer(values, f"<{MAT_DTYPES[kind]}").reshape(shape, order="F")
