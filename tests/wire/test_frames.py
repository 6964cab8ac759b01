"""Messages cut out of a stream, however it was split."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqlite_dbapi import _rows
from dqlite_dbapi.errors import ProtocolViolation
from dqlite_dbapi.wire import pyrows
from dqlite_dbapi.wire.frames import Frame, FrameBuffer
from dqlite_dbapi.wire.rows import find_blob


def message(kind, body):
    return struct.pack("<IBBH", len(body) // 8, kind, 0, 0) + body


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_any_split_gives_the_same_frames(sizes, data):
    expected = [Frame(number, 0, bytes([number]) * size * 8) for number, size in enumerate(sizes)]
    stream = b"".join(message(frame.kind, frame.body) for frame in expected)
    buffer = FrameBuffer()
    found = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        buffer.feed(stream[:cut])
        stream = stream[cut:]
        most = data.draw(st.integers(0, 3))
        several = buffer.next_frames(most)
        assert len(several) <= most
        found += several
        while (frame := buffer.next_frame()) is not None:
            found.append(frame)
    assert found == expected
    assert len(buffer) == 0


@pytest.mark.parametrize("words", [0, 2**31, 2**32 - 1])
def test_empty_and_absurd_bodies_are_refused(words):
    buffer = FrameBuffer()
    buffer.feed(struct.pack("<IBBH", words, 1, 0, 0))
    assert buffer.next_frames(2) == []
    with pytest.raises(ProtocolViolation):
        buffer.next_frame()


def test_the_limit_is_on_the_body():
    buffer = FrameBuffer(limit=16)
    buffer.feed(message(1, bytes(16)) + message(1, bytes(24)))
    assert buffer.next_frames(2) == [Frame(1, 0, bytes(16))]
    with pytest.raises(ProtocolViolation):
        buffer.next_frame()


@pytest.mark.parametrize("first", [8, 9, 1000])
def test_a_long_message_is_received_in_place_and_ends_where_it_ends(first):
    body = bytes(range(256)) * (40 << 10)
    stream = message(7, body)
    buffer = FrameBuffer()
    for _ in range(2):  # in new memory, then in the same
        buffer.feed(stream[:first])
        assert buffer.next_frame() is None
        sent = first
        while (frame := buffer.next_frame()) is None:
            with buffer.room() as room:
                count = min(len(room), 1 << 18, len(stream) - sent)
                room[:count] = stream[sent : sent + count]
            buffer.filled(count)
            sent += count
        assert not buffer.is_long
        assert frame == Frame(7, 0, body)
        buffer.reuse(frame.body)
    buffer.feed(message(1, bytes(8)))
    assert buffer.next_frame() == Frame(1, 0, bytes(8))


def blobs(*sizes):
    """The body of a ROWS message: an integer, the blobs and a text a row, two rows."""
    codes = [1, *[4] * len(sizes), 3]
    names = struct.pack("<Q", len(codes)) + b"name\0\0\0\0" * len(codes)
    head = bytes(low | high << 4 for low, high in zip(codes[::2], [*codes[1::2], 0], strict=False))
    body, rows = [names], []
    for number, long in ((7, False), (8, True)):
        values = [bytes([size % 251 + 1]) * (size if long else 5) for size in sizes]
        body += [head.ljust(8, b"\0"), struct.pack("<q", number)]
        for value in values:
            body += [struct.pack("<Q", len(value)), value, bytes(-len(value) % 8)]
        body.append(b"text\0\0\0\0")
        rows.append((number, *values, "text"))
    return b"".join([*body, b"\xff" * 8]), len(names), len(codes), rows


@pytest.mark.parametrize("first", [8, 100, 1000, 1 << 16])
@pytest.mark.parametrize(
    "sizes",
    [(1 << 20,), ((1 << 20) + 3,), (70, (2 << 20) + 5), (1 << 20, 3 << 20), ((35 << 20) + 1,)],
)
def test_a_long_blob_is_received_in_place(sizes, first):
    body, offset, columns, expected = blobs(*sizes)
    stream = message(7, body) + message(1, bytes(8))
    for decode in (_rows.decode, pyrows.decode):
        buffer = FrameBuffer()
        buffer.feed(stream[:first])
        sent = first
        while (frame := buffer.next_frame()) is None:
            if buffer.is_long:
                with buffer.room() as room:
                    count = min(len(room), 1 << 18, len(stream) - sent)
                    room[:count] = stream[sent : sent + count]
                buffer.filled(count)
            else:
                count = 1 << 10
                buffer.feed(stream[sent : sent + count])
            sent += count
        found = []
        assert decode(frame.body, offset, columns, found, frame.blob) is False
        assert found == expected
        buffer.feed(stream[sent:])
        assert buffer.next_frame() == Frame(1, 0, bytes(8))


@given(st.binary(max_size=200))
def test_damaged_rows_hold_no_blob(body):
    found = find_blob(body, 1)
    assert found is None or 16 < found[0] <= len(body)


ANNOUNCED = struct.pack("<IBBH", 1 << 27, 7, 0, 0)
A_BLOB = struct.pack("<Q", 1) + b"a".ljust(8, b"\0") + b"\4".ljust(8, b"\0")


@pytest.mark.parametrize("body", [bytes(100), A_BLOB + struct.pack("<Q", 1 << 29) + bytes(100)])
def test_memory_is_made_for_what_came_and_not_for_what_was_announced(body):
    buffer = FrameBuffer()
    buffer.feed(ANNOUNCED + body)
    tracemalloc.start()
    assert buffer.next_frame() is None
    with buffer.room() as room:
        assert len(room) < 1 << 25
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
