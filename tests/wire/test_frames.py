"""Messages cut out of a stream, however it was split."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqlite_dbapi.errors import ProtocolViolation
from dqlite_dbapi.wire.frames import Frame, FrameBuffer


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


def test_memory_is_made_for_what_came_and_not_for_what_was_announced():
    buffer = FrameBuffer()
    buffer.feed(struct.pack("<IBBH", 1 << 27, 7, 0, 0) + bytes(100))
    tracemalloc.start()
    assert buffer.next_frame() is None
    with buffer.room() as room:
        assert len(room) < 1 << 25
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
