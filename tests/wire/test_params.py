"""Parameter tuples of both schemas."""

from __future__ import annotations

import array
import ctypes
import enum
import mmap
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


def mapped():
    memory = mmap.mmap(-1, 3)
    memory.write(b"abc")
    return memory


class Named(bytes):
    pass


@pytest.mark.parametrize(
    "value",
    [
        bytearray(b"abc"),
        memoryview(b"abc"),
        memoryview(b"a-b-c")[::2],
        memoryview(bytearray(b"cba"))[::-1],
        array.array("b", b"abc"),
        (ctypes.c_char * 3)(*b"abc"),
        Named(b"abc"),
        mapped(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_buffers_are_blobs(value):
    assert encode_params((value,)) == encode_params((b"abc",))


def test_a_table_is_a_blob_of_its_rows():
    table = memoryview(bytes(range(12))).cast("B", (3, 4))
    assert encode_params((table,)) == encode_params((bytes(range(12)),))


class Level(enum.IntEnum):
    HIGH = 3


class Colour(str, enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()

    def encode(self, *_):
        return b"?"


class Ratio(float):
    def __str__(self):
        return "?"


@pytest.mark.parametrize(
    ("value", "plain"),
    [(True, 1), (Level.HIGH, 3), (Colour.RED, "red"), (Text("x"), "x"), (Ratio(0.5), 0.5)],
)
def test_subclasses_are_bound_as_their_native_type(value, plain):
    assert encode_params((value,)) == encode_params((plain,))


class Point:
    """A type without storage class."""


class Recording:
    """Adapters that tell what they were asked for."""

    def __init__(self, answer="adapted", covers_natives=False):
        self.answer = answer
        self.covers_natives = covers_natives
        self.seen = []

    def adapt(self, value):
        self.seen.append(value)
        return self.answer


NATIVES = (None, 1, True, 2.5, "x", b"y", bytearray(b"z"), memoryview(b"z"))


def test_adapters_see_only_what_is_not_native():
    adapters, point = Recording(), Point()
    encoded = encode_params((*NATIVES, point, 5), adapters=adapters)
    assert encoded == encode_params((*NATIVES, "adapted", 5))
    assert adapters.seen == [point]


def test_adapters_that_cover_native_types_see_each_value_once():
    adapters, values = Recording(covers_natives=True), (*NATIVES, Point())
    assert encode_params(values, adapters=adapters) == encode_params(["adapted"] * len(values))
    assert adapters.seen == list(values)


@pytest.mark.parametrize("answer", [Point(), 2**64, "a\0b"])
@pytest.mark.parametrize("covers_natives", [True, False])
def test_what_adapters_return_must_have_a_storage_class(answer, covers_natives):
    with pytest.raises((ProgrammingError, DataError)):
        encode_params((Point(),), adapters=Recording(answer, covers_natives))


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


@pytest.mark.parametrize("value", ["a\0b", "\ud800", Text("a\0"), Text("\ud800")])
def test_text_that_cannot_travel_is_refused(value):
    with pytest.raises(DataError):
        encode_params((value,))


class Scalar(ctypes.c_int):
    """Like a scalar of numpy: it shows its bytes, and they are not what is meant."""


@pytest.mark.parametrize("value", [object(), 1j, [1], {}, int, Scalar(5), (ctypes.py_object * 1)()])
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
