"""Parameter tuples of both schemas."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.wire.params import encode_params


def test_no_values_need_no_bytes():
    assert encode_params(()) == b""


def test_every_type_in_one_tuple():
    encoded = encode_params((-2, 1.5, "hé", b"\0\xff", None, True))
    assert encoded[:8] == b"\x06\x01\x02\x03\x04\x05\x01\x00"
    assert encoded[8:] == (
        struct.pack("<qd", -2, 1.5)
        + "hé".encode() + bytes(5)
        + struct.pack("<Q", 2) + b"\0\xff" + bytes(6)
        + bytes(8)
        + struct.pack("<q", 1)
    )  # fmt: skip


@pytest.mark.parametrize("value", [bytearray(b"abc"), memoryview(b"abc")])
def test_buffers_are_blobs(value):
    assert encode_params((value,)) == encode_params((b"abc",))


@pytest.mark.parametrize("count", [1, 4, 5, 255, 256, 32766])
def test_wide_counts_have_four_bytes(count):
    encoded = encode_params([None] * count, wide=True)
    assert struct.unpack_from("<I", encoded)[0] == count
    assert len(encoded) == (4 + count + 7) // 8 * 8 + 8 * count


def test_more_than_255_values_need_the_wide_form():
    assert len(encode_params([1] * 255)) == 256 + 255 * 8
    with pytest.raises(ProgrammingError):
        encode_params([1] * 256)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**1000])
def test_integers_beyond_64_bits_are_refused(value):
    with pytest.raises(DataError):
        encode_params((value,))


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_cannot_travel_is_refused(value):
    with pytest.raises(DataError):
        encode_params((value,))


@pytest.mark.parametrize("value", [object(), 1j, [1], {}])
def test_types_without_storage_class_are_refused(value):
    with pytest.raises(ProgrammingError):
        encode_params((value,))


VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.binary()
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)


@given(st.lists(VALUES, max_size=300), st.booleans())
def test_tuples_are_whole_words(values, wide):
    if len(values) <= 255 or wide:
        assert len(encode_params(values, wide=wide)) % 8 == 0
