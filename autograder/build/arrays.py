"""Data by content: whether a public file holds a row of a held-out split or a staff-only weight, under any name."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

SUFFIXES = (".npz", ".npy", ".safetensors")
MIN_BYTES = 32  # shorter rows can be equal by chance


class ArrayError(Exception):
    """A data file can't be read; the message says why."""


def staff_data(folders: Iterable[Path]) -> dict[bytes, str]:
    """Content hash -> where it is from, for all arrays (whole and row by row) under the staff's folders."""
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in SUFFIXES)
    return {
        digest: f"{path.parent.name}/{path.name}"
        for path in paths
        for array in load_arrays(path).values()
        for digest in content_hashes(array)
    }


def content_hashes(array: np.ndarray) -> Iterator[bytes]:
    """The hash of an array and of each of its rows, whatever their shape and integer type.

    Constant and very short ones are left out, since they can be equal by chance.
    """
    array = _comparable(array)
    rows = array.reshape(len(array), -1) if array.ndim > 1 and array.size else ()
    for piece in (array.ravel(), *rows):
        if piece.nbytes >= MIN_BYTES and (piece != piece[0]).any():
            yield hashlib.sha256(piece.tobytes()).digest()


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of a .npz, .npy or .safetensors file. Raises ArrayError; a pickle is never loaded."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        data = np.load(path, allow_pickle=False)
        return {"array": data} if isinstance(data, np.ndarray) else {name: data[name] for name in data.files}
    except Exception as error:  # numpy, zipfile and safetensors raise many kinds on a damaged file
        raise ArrayError(f"can't be read as data: {error}") from error


def _comparable(array: np.ndarray) -> np.ndarray:
    """One form for equal content: small integers as bytes, other numbers as float32."""
    if array.dtype.kind in "bui" and array.size and array.min() >= 0 and array.max() < 256:
        return np.ascontiguousarray(array, np.uint8)
    if array.dtype.kind in "buif":
        return np.ascontiguousarray(array, np.float32)
    return np.frombuffer("\n".join(map(str, array.ravel())).encode(), np.uint8)
