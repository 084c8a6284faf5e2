"""Checkpoints that hold numbers and nothing that runs: safetensors with the arguments that rebuild the model.

A file artifacts/<name>.safetensors holds the model's tensors, the name of its class and the constructor's arguments as
JSON. So whoever loads it needs the class's code and trusts nothing else in the file. `read` is safe on any bytes: it
never unpickles, never follows a link and never allocates more than the caps below.
"""

import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as encode_safetensors
from torch import Tensor, nn

MAX_FILE_BYTES = 256 * 2**20
MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 4096
MAX_DIMS = 8
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
TUPLE = "__tuple__"
HOW_TO_SAVE = "Write it with common.artifacts.save(name, model, config)."


class CheckpointError(Exception):
    """A checkpoint can't be written, read or loaded; the message says which file, what is wrong and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: class_name and config are the student's claims, tensors are plain CPU tensors."""

    class_name: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]


def save(name: str, model: nn.Module, config: Mapping[str, Any], folder: str | Path = "artifacts") -> Path:
    """Write the model to folder/<name>.safetensors, whole or not at all, and return the path.

    name: the question's id, such as e1_fashion_pixelcnn. config: keyword arguments with which `type(model)(**config)`
    builds a model of the same shapes; None, bool, int, float, str, list, tuple and dict can be stored.
    The file is rebuilt into a second model before it is written, so a wrong config is found here and not when grading.
    Raises CheckpointError for a bad name, a config that JSON can't hold, or one that does not rebuild the model.
    """
    path = checkpoint_path(name, folder)
    config = dict(config)
    try:
        encoded = json.dumps(_encode(config), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"The config of {name!r} can't be stored as JSON ({error}). Use numbers, strings, "
                              "booleans, None, lists, tuples and dicts with string keys.") from error
    # Clones: tied weights share memory, which safetensors refuses; views would store the whole base.
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
               for key, value in _tensors_of(name, model).items()}
    with torch.random.fork_rng(devices=[]):  # the trial build must not shift the caller's random numbers
        build(Checkpoint(type(model).__name__, _decode(json.loads(encoded)), tensors), type(model), path)
    metadata = {"class": type(model).__name__, "config": encoded}
    write_atomically(path, encode_safetensors(tensors, metadata=metadata))
    return path


def load(name: str, classes: type[nn.Module] | Iterable[type] | Mapping[str, Any],
         folder: str | Path = "artifacts") -> nn.Module:
    """Rebuild the model of folder/<name>.safetensors on the CPU, in eval mode.

    classes: the class it was saved from, several, or a mapping from names to classes such as `globals()`.
    Raises CheckpointError when the file is missing or damaged, its class is not among `classes`, or shapes differ.
    """
    path = checkpoint_path(name, folder)
    checkpoint = read(path)
    known = _by_name(classes)
    if checkpoint.class_name not in known:
        given = ", ".join(sorted(known)) or "no class"
        raise CheckpointError(f"{path} holds a {checkpoint.class_name!r}, but {given} was given. Run the cell that "
                              "defines the class, or pass the class itself.")
    return build(checkpoint, known[checkpoint.class_name], path).eval()


def build(checkpoint: Checkpoint, model_class: type[nn.Module], path: str | Path = "the checkpoint") -> nn.Module:
    """model_class(**config) with the checkpoint's tensors; CheckpointError when either does not fit. Runs the class."""
    name = model_class.__name__
    try:
        model = model_class(**checkpoint.config)
    except Exception as error:
        raise CheckpointError(f"{path}: {name}(**config) fails with {type(error).__name__}: {error}. The "
                              f"config is {checkpoint.config}; it must hold the constructor's arguments.") from error
    own = model.state_dict()
    if different := _differences({k: tuple(v.shape) for k, v in own.items()},
                                 {k: tuple(v.shape) for k, v in checkpoint.tensors.items()}):
        raise CheckpointError(f"{path} does not fit {name}(**{checkpoint.config}): {different}. Was the class or its "
                              "config changed after training? Train and save again.")
    model.load_state_dict(checkpoint.tensors)
    return model


def read(path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> Checkpoint:
    """Parse a checkpoint without running anything in it, whoever wrote it.

    Refuses links and special files, more than max_bytes, headers over 1 MiB, more than 4,096 tensors, dtypes outside a
    whitelist, and tensors whose bytes do not match their shape. Values may still be NaN or infinite: they are claims.
    Raises CheckpointError with a sentence a student can act on.
    """
    data = _read_file(Path(path), max_bytes)
    path = _short(path)  # messages go to students: no folders of the machine that reads
    header = _header(path, data)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not {"class", "config"} <= metadata.keys():
        raise CheckpointError(f"{path} names no class and config. {HOW_TO_SAVE}")
    _check_entries(path, header)
    try:
        tensors = parse_safetensors(data)
    except (SafetensorError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged or cut short ({error}). Save it again.") from error
    tensors = {key: _strict_bool(value) for key, value in tensors.items()}
    return Checkpoint(_class_name(path, metadata["class"]), _config(path, metadata["config"]), tensors)


def checkpoint_path(name: str, folder: str | Path = "artifacts") -> Path:
    """folder/<name>.safetensors; CheckpointError unless the name is one of letters, digits, - and _."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise CheckpointError(f"{name!r} is no checkpoint name: use the question's id, such as e1_fashion_pixelcnn.")
    return Path(folder) / f"{name}.safetensors"


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write data to path so that a reader, or a crash at any moment, finds the old file or the new one, whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private, which a grader's other account could not read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _tensors_of(name: str, model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict()
    if other := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"{name!r}: {', '.join(other)} in the state dict is no tensor; keep it in config.")
    return state


def _by_name(classes: type | Iterable[type] | Mapping[str, Any]) -> dict[str, type]:
    if isinstance(classes, type):
        classes = [classes]
    values = classes.values() if isinstance(classes, Mapping) else classes
    return {c.__name__: c for c in values if isinstance(c, type) and issubclass(c, nn.Module)}


def _differences(own: dict[str, tuple], stored: dict[str, tuple]) -> str:
    missing = [f"{key} is missing in the file" for key in own.keys() - stored.keys()]
    unknown = [f"the class has no {key}" for key in stored.keys() - own.keys()]
    shapes = [f"{key} is {list(stored[key])} in the file and {list(own[key])} in the class"
              for key in own.keys() & stored.keys() if own[key] != stored[key]]
    found = sorted(missing) + sorted(unknown) + sorted(shapes)
    return "; ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _encode(value: Any) -> Any:
    """JSON knows no tuples, and a constructor may care: (1, 28, 28) is stored as {"__tuple__": [1, 28, 28]}."""
    if isinstance(value, tuple):
        return {TUPLE: [_encode(v) for v in value]}
    if isinstance(value, list):
        return [_encode(v) for v in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("dict keys must be strings")
        return {key: _encode(v) for key, v in value.items()}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(v) for v in value]
    if isinstance(value, dict):
        if value.keys() == {TUPLE} and isinstance(value[TUPLE], list):
            return tuple(_decode(v) for v in value[TUPLE])
        return {key: _decode(v) for key, v in value.items()}
    return value


def _short(path: str | Path) -> str:
    return "/".join(Path(path).parts[-2:])


def _read_file(path: Path, max_bytes: int) -> bytes:
    # NONBLOCK: opening a FIFO must not wait for a writer. NOFOLLOW: a link could point at any file of the reader's.
    name = _short(path)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise CheckpointError(f"{name} does not exist. Run the cell that trains the model and saves it.") from None
    except OSError as error:
        raise CheckpointError(f"{name} can't be opened as a plain file ({error.strerror}).") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise CheckpointError(f"{name} is no plain file.")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > max_bytes:
            raise CheckpointError(f"{name} has {status.st_size:,} bytes; at most {max_bytes:,} are accepted.")
        return file.read(max_bytes)


def _header(path: str | Path, data: bytes) -> dict[str, Any]:
    """The safetensors header: 8 bytes of length, then so many bytes of JSON."""
    if data[8:9] != b"{" and data.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise CheckpointError(f"{path} looks like a pickle (torch.save), which can run code and is never opened. "
                              f"{HOW_TO_SAVE}")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise CheckpointError(f"{path} is cut short, or no safetensors file ({len(data):,} bytes). Save it again.")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"{path} has a header of {length:,} bytes; at most {MAX_HEADER_BYTES:,} are accepted.")
    header = _parse_json(path, data[8:8 + length], "header")
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is no JSON object. Save it again.")
    return header


def _check_entries(path: str | Path, header: dict[str, Any]) -> None:
    if len(header) > MAX_TENSORS:
        raise CheckpointError(f"{path} holds {len(header):,} tensors; at most {MAX_TENSORS:,} are accepted.")
    for key, entry in header.items():
        if not _entry_is_sound(entry):
            raise CheckpointError(f"{path}: the entry of tensor {key[:100]!r} is not acceptable (dtype, shape or "
                                  f"offsets). Allowed dtypes: {', '.join(DTYPES)}.")


def _entry_is_sound(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return False
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES or not isinstance(shape, list) or not isinstance(offsets, list):
        return False
    if len(shape) > MAX_DIMS or len(offsets) != 2:
        return False
    if any(type(number) is not int or not 0 <= number < 2**40 for number in shape + offsets):
        return False
    numel = math.prod(shape)
    # An empty tensor must not be huge in its other dimensions: strides would overflow.
    return numel * DTYPES[dtype] == offsets[1] - offsets[0] and (numel > 0 or max(shape) < 2**20)


def _strict_bool(tensor: Tensor) -> Tensor:
    """Bytes other than 0 and 1 in a bool tensor are undefined behaviour in kernels that trust them."""
    return tensor.view(torch.uint8) != 0 if tensor.dtype == torch.bool else tensor


def _class_name(path: str | Path, name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 100:
        raise CheckpointError(f"{path}: the class name is no Python name.")
    return name


def _config(path: str | Path, text: Any) -> dict[str, Any]:
    config = _parse_json(path, text if isinstance(text, str) else "", "config")
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: the config is no JSON object of constructor arguments.")
    try:
        return _decode(config)
    except RecursionError as error:
        raise CheckpointError(f"{path}: the config is nested too deeply.") from error


def _parse_json(path: str | Path, text: bytes | str, part: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the {part} is not valid JSON ({str(error)[:100]}). Save it again.") from error
