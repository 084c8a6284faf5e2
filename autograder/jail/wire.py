"""Frames between grader and worker: a msgpack header and raw tensor bytes, in a format that can't carry code.

A frame is `!IQ` (bytes of header, bytes of blob), the header, the blob. The header is msgpack of [value, tensors], where
`tensors` lists [dtype, shape] and the blob holds their bytes one after the other. A value is None, bool, int, float, str,
bytes, list, tuple, dict, a tensor, or a `Reference` to something that lives in the worker.
Both sides use this module; the grader's side treats every byte as hostile.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import torch
from torch import Tensor

PREFIX = struct.Struct("!IQ")
MAX_HEADER, MAX_BLOB, MAX_TENSORS, MAX_ITEMS, MAX_RANK = 4 << 20, 64 << 20, 4096, 100_000, 16
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
    )
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_TENSOR, _REFERENCE, _TUPLE, _BIG_INT = 1, 2, 3, 4


class ProtocolError(Exception):
    """Bytes or a value that the protocol does not allow."""


class FloodError(ProtocolError):
    """A frame larger than the limits allow."""


@dataclass(frozen=True)
class Reference:
    """Names something in the worker: an object by number, one of its methods, or a name the notebook defines."""

    number: int = -1
    name: str = ""


def encode(value: Any, opaque: Callable[[Any], Reference] | None = None) -> tuple[bytes, list[memoryview]]:
    """Value to (prefix and header, blobs). `opaque` turns anything the format lacks into a Reference.

    Raises ProtocolError for such a thing when `opaque` is None, and FloodError when the limits are passed.
    """
    tensors: list[Tensor] = []
    header = msgpack.packb([_plain(value, tensors, opaque), [[_NAMES[t.dtype], list(t.shape)] for t in tensors]])
    blobs = [_bytes(t) for t in tensors if t.numel()]
    size = sum(len(blob) for blob in blobs)
    if len(header) > MAX_HEADER or size > MAX_BLOB or len(tensors) > MAX_TENSORS:
        raise FloodError(f"a message of {len(header)} + {size} bytes and {len(tensors)} tensors is over the limits")
    return PREFIX.pack(len(header), size) + header, blobs


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor. An expanded single value is contiguous with stride 0, hence as_strided."""
    return memoryview(tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy()).cast("B")


def _plain(value: Any, tensors: list[Tensor], opaque: Callable[[Any], Reference] | None) -> Any:
    """The value as msgpack takes it; exact types only, so that a subclass can't smuggle behaviour."""
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else msgpack.ExtType(_BIG_INT, str(value).encode())
    if kind is list:
        return [_plain(item, tensors, opaque) for item in value]
    if kind is tuple or kind is torch.Size:
        return msgpack.ExtType(_TUPLE, msgpack.packb([_plain(item, tensors, opaque) for item in value]))
    if kind is dict and all(type(key) in (str, int) for key in value):
        return {key: _plain(item, tensors, opaque) for key, item in value.items()}
    if kind is Reference:
        return msgpack.ExtType(_REFERENCE, msgpack.packb([value.number, value.name]))
    if isinstance(value, np.generic):
        return _plain(value.item(), tensors, opaque)
    if kind is np.ndarray and value.dtype.kind in "biuf":
        value, kind = torch.from_numpy(np.ascontiguousarray(value)), Tensor
    if issubclass(kind, Tensor) and value.dtype in _NAMES:
        tensors.append(value.detach().cpu().contiguous())
        return msgpack.ExtType(_TENSOR, struct.pack("!I", len(tensors) - 1))
    if opaque is None:
        raise ProtocolError(f"a value of type {kind.__name__} can't be sent")
    return _plain(opaque(value), tensors, None)


def decode(header: bytes, blob: bytes) -> Any:
    """The value of a frame; ProtocolError for anything malformed, in bounded time and memory."""
    try:
        value, specs = _unpack(header, _keep_extension)
        tensors = _tensors(specs, blob)
        return _revive(value, tensors)
    except ProtocolError:
        raise
    except Exception as error:  # hostile bytes: whatever goes wrong is a protocol error
        raise ProtocolError(f"malformed message: {type(error).__name__}") from error


def _unpack(data: bytes, hook: Callable[[int, bytes], Any]) -> Any:
    return msgpack.unpackb(
        data, ext_hook=hook, strict_map_key=False, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS, raw=False
    )


def _keep_extension(code: int, data: bytes) -> msgpack.ExtType:
    return msgpack.ExtType(code, data)


def _tensors(specs: Any, blob: bytes) -> list[Tensor]:
    if len(specs) > MAX_TENSORS:
        raise FloodError(f"{len(specs)} tensors in one message")
    tensors, offset = [], 0
    for name, shape in specs:
        dtype = DTYPES[name]
        if len(shape) > MAX_RANK or any(type(n) is not int or n < 0 for n in shape):
            raise ProtocolError("malformed tensor shape")
        size = math.prod(shape) * dtype.itemsize
        piece = bytearray(blob[offset : offset + size])
        if len(piece) != size:
            raise ProtocolError("a tensor is longer than the message")
        tensors.append(_tensor(piece, dtype, shape))
        offset += size
    if offset != len(blob):
        raise ProtocolError("bytes are left over after the tensors")
    return tensors


def _tensor(piece: bytearray, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if not piece:
        return torch.empty(shape, dtype=dtype)
    if dtype is torch.bool:  # a bool of bits 0x02 is undefined behaviour further on
        return (torch.frombuffer(piece, dtype=torch.uint8) != 0).reshape(shape)
    return torch.frombuffer(piece, dtype=dtype).reshape(shape)


def _revive(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, msgpack.ExtType):
        return _extension(value, tensors)
    if isinstance(value, list):
        return [_revive(item, tensors) for item in value]
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            raise ProtocolError("malformed key")
        return {key: _revive(item, tensors) for key, item in value.items()}
    return value


def _extension(value: msgpack.ExtType, tensors: list[Tensor]) -> Any:
    if value.code == _TENSOR:
        return tensors[struct.unpack("!I", value.data)[0]]
    if value.code == _TUPLE:
        return tuple(_revive(item, tensors) for item in _unpack(value.data, _keep_extension))
    if value.code == _REFERENCE:
        number, name = _unpack(value.data, _keep_extension)
        if type(number) is not int or type(name) is not str:
            raise ProtocolError("malformed reference")
        return Reference(number, name)
    if value.code == _BIG_INT and len(value.data) <= 4000:
        return int(value.data)
    raise ProtocolError(f"unknown extension {value.code}")
