"""The parameter encoders in C and in Python: equal bytes, equal errors, and no leaks."""

from __future__ import annotations

import array
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqlite_dbapi import _rows
from dqlite_dbapi.errors import Error
from dqlite_dbapi.types import Adapters
from dqlite_dbapi.wire import pyparams
from dqlite_dbapi.wire.params import encode_params, encode_row, encode_value
from tests.support.leaks import growth

TWINS = {"c": _rows, "python": pyparams}
ADAPTERS = Adapters()
HEAD = struct.pack("<IBBH", 0, 8, 0, 0) + bytes(8)


class Text(str):
    __slots__ = ()


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.text()
    | st.text().map(Text)
    | st.binary().map(bytearray)
    | st.binary().map(memoryview)
    | st.binary().map(lambda raw: array.array("B", raw))
    | st.dates()
    | st.datetimes()
    | st.sampled_from([object(), 1j, [1], -(2**63), 2**63 - 1, 2**63, "a\0", "\ud800"])
)


def outcome(encode, *arguments):
    """What an encoder returns, or the kind of its error."""
    try:
        return encode(*arguments)
    except Error as error:
        return type(error)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=80), st.booleans(), st.sampled_from([b"", HEAD, HEAD * 3]))
def test_both_twins_agree(values, wide, head):
    tuples = [
        outcome(twin.encode_params, head, given_as(values), wide, encode_value, ADAPTERS)
        for twin in TWINS.values()
        for given_as in (list, tuple)
    ]
    rows = [outcome(twin.encode_row, values, encode_value, ADAPTERS) for twin in TWINS.values()]
    assert all(found == tuples[0] for found in tuples)
    assert rows[0] == rows[1]
    if head and isinstance(tuples[0], bytes):
        assert struct.unpack_from("<I", tuples[0])[0] * 8 == len(tuples[0]) - 8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=1, max_size=9), st.booleans())
def test_rows_are_joined_to_one_tuple(rows, wide):
    try:
        expected = encode_params([v for row in rows for v in row], wide=wide, adapters=ADAPTERS)
        encoded = [encode_row(row, ADAPTERS) for row in rows]
    except Error:
        return
    for twin in TWINS.values():
        assert twin.join_rows(b"", encoded, 3, wide) == expected
        assert twin.join_rows(HEAD, encoded, 3, wide)[4:] == HEAD[4:] + expected


ITEMS = st.lists(
    st.tuples(VALUES, VALUES) | st.tuples(st.integers(0, 9), st.text("ab")) | st.just([1, 2]),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(
    ITEMS,
    st.integers(0, 3),
    st.sampled_from([(), (1, 0), (0,)]),
    st.integers(0, 9),
    st.integers(0, 150),
    st.sampled_from([list, tuple]),
)
def test_rows_are_taken_while_they_are_plain(items, start, order, most, room, kind):
    outcomes = []
    for twin in TWINS.values():
        out = [b"before"]
        place, size = twin.encode_rows(kind(items), start, 2, order, out, most, room)
        outcomes.append((place, size, out))
    assert outcomes[0] == outcomes[1]
    assert out[0] == b"before"
    assert sum(map(len, out[1:])) == size
    for item, row in zip(items[start:place], out[1:], strict=True):
        assert row == pyparams.encode_row([item[slot] for slot in order or (0, 1)], None, None)


@pytest.mark.parametrize("twin", TWINS.values(), ids=list(TWINS))
def test_rows_that_are_too_short_or_too_many_are_not_joined(twin):
    with pytest.raises(ValueError, match="fewer"):
        twin.join_rows(b"", [b"\1"], 2, False)
    with pytest.raises((ValueError, OverflowError)):
        twin.join_rows(b"", [b"\1" * 9] * 256, 1, False)


@pytest.mark.parametrize("twin", TWINS.values(), ids=list(TWINS))
@pytest.mark.parametrize("answer", [None, (3,), (3, "text"), ("3", b""), 5])
def test_what_a_slow_encoder_returns_is_checked(twin, answer):
    with pytest.raises((TypeError, ValueError)):
        twin.encode_row([object()], lambda *_: answer, None)


@pytest.mark.parametrize("twin", TWINS.values(), ids=list(TWINS))
def test_more_values_than_the_count_can_tell_are_an_error(twin):
    with pytest.raises((ValueError, IndexError)):
        twin.encode_params(b"", [1] * 256, False, encode_value, None)


@pytest.mark.parametrize("arguments", [(), (1,), ([1], encode_value, None, 4)])
def test_arguments_are_counted(arguments):
    for function in (_rows.encode_row, _rows.encode_params):
        with pytest.raises(TypeError):
            function(*arguments)


def everything():
    """Encode and decode values of all kinds, and what fails half-way."""
    values = [None, 1, 2**70, 1.5, "text", "é" * 50, b"x" * 100, bytearray(b"y"), Text("z")]
    for row in (values, values[:2], [*values * 20, object()], [values[3], "\0"]):
        outcome(_rows.encode_row, row, encode_value, None)
        outcome(_rows.encode_params, HEAD, tuple(row), True, encode_value, None)
        taken = []
        _rows.encode_rows([tuple(row)] * 3, 0, len(row), (), taken, 9, 999)
        _rows.encode_rows([tuple(row)] * 3, 0, len(row), (1, 0), taken, 9, 999)
        _rows.join_rows(HEAD, taken, 2, True)
    body = bytes.fromhex("33") + bytes(7) + b"abc\0\0\0\0\0" * 2
    found = []
    _rows.decode(body + b"\xff" * 8, 0, 2, found)
    message = struct.pack("<IBBH", len(body) // 8 + 1, 7, 0, 0) + body + b"\xee" * 8
    _rows.decode_parts(message * 3 + message[:40], 0, b"", 2, found)
    _rows.enlarge(bytearray(), 100)
    for damaged in (body[:16], body[:-1], b"\x07" + body[1:]):
        with pytest.raises((ValueError, IndexError)):
            _rows.decode(damaged, 0, 2, found)


def test_nothing_leaks():
    assert growth(everything, first=50, then=300) < 20_000
