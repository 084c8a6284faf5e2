"""The wire format: what goes in comes out, and hostile bytes end in a ProtocolError."""

import struct

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.jail import wire
from autograder.jail.wire import FloodError, ProtocolError, Reference

TEXTS = st.text(max_size=20) | st.binary(max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
KEYS = st.text(max_size=5) | st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    SCALARS | st.builds(Reference, st.integers(-1, 9), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


def crossed(value, opaque=None):
    """The value at the other end of the wire."""
    prefixed, blobs = wire.encode(value, opaque)
    header, blob = prefixed[wire.PREFIX.size :], b"".join(blobs)
    assert wire.PREFIX.unpack(prefixed[: wire.PREFIX.size]) == (len(header), len(blob))
    return wire.decode(header, blob)


@given(VALUES)
@settings(deadline=None)
def test_values_cross_unchanged(value):
    back = crossed(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("dtype", list(wire.DTYPES.values()), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 5), (4, 0, 2)])
def test_tensors_cross_bit_by_bit(dtype, shape):
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 9).to(dtype)
    other = torch.arange(7)
    back, after = crossed([tensor, other])
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)
    assert torch.equal(after, other)


def test_views_gradients_and_numpy_cross_as_plain_tensors():
    grown = torch.randn(3, 4, requires_grad=True)
    back, array, number = crossed([grown.T[::2], np.arange(6).reshape(2, 3), np.float32(1.5)])
    assert torch.equal(back, grown.detach().T[::2])
    assert not back.requires_grad
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert number == 1.5


@pytest.mark.parametrize("expanded", [torch.tensor(3.0).expand(1), torch.tensor(3.0).expand(2, 3)])
def test_expanded_tensors_cross(expanded):
    assert torch.equal(crossed(expanded), expanded)


def test_a_subclass_loses_its_behaviour():
    class Liar(torch.Tensor):
        def __eq__(self, other):
            return True

    back = crossed(torch.zeros(2).as_subclass(Liar))
    assert type(back) is torch.Tensor
    assert (back == torch.ones(2)).tolist() == [False, False]


def test_unknown_things_need_a_reference():
    with pytest.raises(ProtocolError, match="Generator"):
        wire.encode(torch.Generator())
    assert crossed([torch.Generator()], lambda thing: Reference(4)) == [Reference(4)]


def test_a_bool_made_of_other_bits_is_normalised():
    header = msgpack.packb([msgpack.ExtType(1, struct.pack("!I", 0)), [["bool", [2]]]])
    assert wire.decode(header, b"\x02\x00").tolist() == [True, False]


@pytest.mark.parametrize(
    "specs, blob",
    [
        ([["float32", [2]]], b"1234"),
        ([["float32", [1]]], b"12345678"),
        ([["float32", [-1]]], b""),
        ([["object", [1]]], b"12345678"),
        ([["float32", [2**40]]], b"1234"),
        ([["float32", [2] * 40]], b"1234"),
        ([["float32", [True]]], b"1234"),
    ],
)
def test_tensor_claims_are_checked(specs, blob):
    header = msgpack.packb([msgpack.ExtType(1, struct.pack("!I", 0)), specs])
    with pytest.raises(ProtocolError):
        wire.decode(header, blob)


@given(st.binary(max_size=200), st.binary(max_size=50))
@settings(deadline=None, max_examples=300)
def test_random_bytes_give_a_value_or_a_protocol_error(header, blob):
    try:
        wire.decode(header, blob)
    except ProtocolError:
        return


@given(VALUES, st.integers(0, 10_000), st.integers(0, 255))
@settings(deadline=None, max_examples=300)
def test_a_flipped_byte_gives_a_value_or_a_protocol_error(value, place, byte):
    prefixed, blobs = wire.encode([value, torch.arange(5)])
    header = bytearray(prefixed[wire.PREFIX.size :])
    header[place % len(header)] = byte
    try:
        wire.decode(bytes(header), b"".join(blobs))
    except ProtocolError:
        return


def test_depth_and_size_are_bounded():
    deep = b"\x91" * 100_000 + b"\x90"
    with pytest.raises(ProtocolError):
        wire.decode(b"\x92" + deep + b"\x90", b"")
    with pytest.raises(FloodError):
        wire.encode(torch.zeros(wire.MAX_BLOB // 4 + 1))
    with pytest.raises(FloodError):
        wire.encode([torch.zeros(1)] * (wire.MAX_TENSORS + 1))
