"""Row tuples, with the decoder in C and the one in Python."""

from __future__ import annotations

import gc
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqlite_dbapi import _rows
from dqlite_dbapi.wire import pyrows
from dqlite_dbapi.wire.constants import ROWS_DONE, ROWS_PART

DONE, PART = struct.pack("<Q", ROWS_DONE), struct.pack("<Q", ROWS_PART)
DECODERS = {"c": _rows.decode, "python": pyrows.decode}
DAMAGE = (ValueError, IndexError, struct.error)


@pytest.fixture(params=list(DECODERS))
def decode(request):
    return DECODERS[request.param]


def pad(raw):
    return raw + bytes(-len(raw) % 8)


def encode_value(code, value):
    if code in (1, 9, 11):
        return struct.pack("<q", value)
    if code == 2:
        return struct.pack("<d", value)
    if code == 4:
        return struct.pack("<Q", len(value)) + pad(value)
    if code == 5:
        return bytes(8)
    return pad((value or "").encode() + b"\0")


def encode_row(row):
    codes = [code for code, _ in row]
    nibbles = bytearray((len(codes) + 1) // 2)
    for column, code in enumerate(codes):
        nibbles[column // 2] |= code << (column % 2 * 4)
    return pad(bytes(nibbles)) + b"".join(encode_value(*value) for value in row)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUE = st.one_of(
    st.tuples(st.sampled_from([1, 9, 11]), INT64),
    st.tuples(st.just(2), st.floats(allow_nan=False)),
    st.tuples(st.just(3), TEXT),
    st.tuples(st.just(4), st.binary(max_size=30)),
    st.tuples(st.just(5), st.none()),
    st.tuples(st.just(10), TEXT.map(lambda text: text or None)),
)


@st.composite
def tables(draw):
    columns = draw(st.sampled_from([1, 2, 5, 16, 17, 33]))
    row = st.lists(VALUE, min_size=columns, max_size=columns)
    shapes = draw(st.lists(row, min_size=1, max_size=3))
    return [shape for shape in shapes for _ in range(draw(st.integers(1, 3)))]


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans(), st.integers(0, 3))
def test_round_trip_and_both_decoders_agree(rows, more, prefix):
    body = bytes(prefix * 8) + b"".join(map(encode_row, rows)) + (PART if more else DONE)
    for decode in DECODERS.values():
        found = []
        assert decode(body, prefix * 8, len(rows[0]), found) is more
        assert found == [tuple(value for _, value in row) for row in rows]


@settings(max_examples=150, deadline=None)
@given(tables(), st.data())
def test_damage_is_an_error_and_never_more(rows, data):
    body = bytearray(b"".join(map(encode_row, rows)) + DONE)
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) // 8 - 1)) * 8 :]
    else:
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    outcomes = []
    for decode in DECODERS.values():
        found = []
        try:
            outcomes.append((decode(bytes(body), 0, len(rows[0]), found), repr(found)))
        except DAMAGE:
            outcomes.append("damaged")
    assert outcomes[0] == outcomes[1]


def answer(rows, columns, marker=DONE, kind=7):
    names = b"".join(pad(b"name%d\0" % n) for n in range(columns))
    body = struct.pack("<Q", columns) + names + b"".join(map(encode_row, rows)) + marker
    return struct.pack("<IBBH", len(body) // 8, kind, 0, 0) + body


ANSWERS = {"c": _rows.decode_answer, "python": pyrows.decode_answer}


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_whole_answer(rows):
    columns = len(rows[0])
    for decode_answer in ANSWERS.values():
        names, found, more, head = decode_answer(answer(rows, columns))
        assert names == tuple(f"name{n}" for n in range(columns))
        assert found == [tuple(value for _, value in row) for row in rows]
        assert more is False
        assert head == encode_row(rows[0])[: (columns + 1) // 2]
        assert decode_answer(answer([], columns)) == (names, [], False, b"")
        assert decode_answer(answer(rows, columns, PART)) is None
        assert decode_answer(answer(rows, columns, kind=0)) is None


@settings(max_examples=150, deadline=None)
@given(tables(), st.data())
def test_a_damaged_answer_is_left_to_others(rows, data):
    chunk = bytearray(answer(rows, len(rows[0])))
    if data.draw(st.booleans()):
        del chunk[data.draw(st.integers(0, len(chunk) - 1)) :]
    else:
        chunk[data.draw(st.integers(0, len(chunk) - 1))] = data.draw(st.integers(0, 255))
    found = [repr(decode_answer(bytes(chunk))) for decode_answer in ANSWERS.values()]
    assert found[0] == found[1]


@settings(max_examples=100, deadline=None)
@given(tables(), st.lists(st.integers(0, 3), max_size=6), st.data())
def test_parts_are_taken_as_far_as_they_are_whole(rows, sizes, data):
    columns = len(rows[0])
    parts = [answer(rows[: size + 1] if size else [], columns, PART) for size in sizes]
    stream = bytearray(b"".join(parts) + data.draw(st.sampled_from([b"", answer(rows, columns)])))
    if stream and data.draw(st.booleans()):
        del stream[data.draw(st.integers(0, len(stream) - 1)) :]
    elif stream and data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    header = answer([], columns)[8:-8]
    outcomes = []
    for twin in (_rows, pyrows):
        found = [("before",)]
        outcomes.append((twin.decode_parts(bytes(stream), 0, header, columns, found), repr(found)))
    assert outcomes[0] == outcomes[1]


def test_a_part_without_rows_is_left():
    parts = answer([[(1, 1)]], 1, PART), answer([], 1, PART)
    for twin in (_rows, pyrows):
        found = []
        end, more = twin.decode_parts(b"".join(parts), 0, parts[1][8:-8], 1, found)
        assert (end, more, found) == (len(parts[0]), True, [(1,)])


@pytest.mark.parametrize("twin", [_rows, pyrows])
def test_memory_is_enlarged_and_keeps_what_it_holds(twin):
    memory = bytearray(b"abc")
    for size in (3, 10, 5 << 20):
        twin.enlarge(memory, size)
        assert (len(memory), memory[:3]) == (size, b"abc")


def test_rows_are_not_for_the_collector():
    found = []
    _rows.decode(encode_row([(1, 1), (3, "text")]) + DONE, 0, 2, found)
    assert not gc.is_tracked(found[0])


@pytest.mark.parametrize("wanted", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("end", [DONE, b""], ids=["whole", "damaged"])
def test_the_collector_is_left_as_it_was(wanted, end):
    body = encode_row([(1, 5)]) * 2000 + end
    (gc.enable if wanted else gc.disable)()
    try:
        try:
            _rows.decode(body, 0, 1, [])
        except ValueError:
            assert not end
        assert gc.isenabled() == wanted
    finally:
        gc.enable()


def test_special_floats(decode):
    values = [math.inf, -math.inf, math.nan, -0.0]
    found = []
    decode(b"".join(encode_row([(2, value)]) for value in values) + DONE, 0, 1, found)
    assert [math.copysign(1, row[0]) for row in found[:2]] == [1, -1]
    assert math.isnan(found[2][0])
    assert math.copysign(1, found[3][0]) == -1


@pytest.mark.parametrize(("marker", "more"), [(DONE, False), (PART, True)])
def test_no_columns_and_no_rows(decode, marker, more):
    assert decode(marker, 0, 0, []) is more
    assert decode(marker, 0, 3, []) is more


@pytest.mark.parametrize("body", [b"", bytes(8), DONE + DONE, DONE + bytes(8)])
def test_a_marker_must_end_the_message(decode, body):
    for columns in (0, 1):
        with pytest.raises(DAMAGE):
            decode(body, 0, columns, [])


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**40, 9])
def test_a_blob_cannot_exceed_its_message(decode, size):
    body = pad(b"\x04") + struct.pack("<Q", size) + bytes(8) + DONE
    with pytest.raises(DAMAGE):
        decode(body, 0, 1, [])
