"""Cutting a stream of bytes into messages (wire-protocol 1.2)."""

from __future__ import annotations

from typing import NamedTuple

from dqlite_dbapi.errors import ProtocolViolation
from dqlite_dbapi.wire.requests import HEADER

DEFAULT_LIMIT = 1 << 31


class Frame(NamedTuple):
    """One message: its type and schema numbers and its body without the header."""

    kind: int
    schema: int
    body: bytes


class FrameBuffer:
    """Collects received chunks and gives out whole messages, long ones copied once."""

    __slots__ = ("_chunks", "_limit", "_needed", "_offset", "_size")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        """`limit` is the largest body accepted, in bytes."""
        self._chunks: list[bytes] = []
        self._size = 0  # bytes held, counted from _offset of the first chunk
        self._offset = 0
        self._needed = 8
        self._limit = limit

    def __len__(self) -> int:
        return self._size

    def feed(self, chunk: bytes) -> None:
        """Add received bytes; `ProtocolViolation` never comes from here."""
        self._chunks.append(chunk)
        self._size += len(chunk)

    def next_frame(self) -> Frame | None:
        """The next whole message, or None while bytes are missing.

        `ProtocolViolation` for a body of no words or one beyond the limit.
        """
        if self._size < self._needed:
            return None
        chunks = self._chunks
        if self._needed > HEADER.size and self._size - self._needed < len(chunks[-1]):
            return self._gathered()
        if len(chunks) > 1:
            first = chunks[0]
            chunks[0] = first[self._offset :] if self._offset else first
            data = b"".join(chunks)
            self._chunks = [data]
            self._offset = 0
        else:
            data = chunks[0]
        start = self._offset
        words, kind, schema, _ = HEADER.unpack_from(data, start)
        size = words << 3
        if not words or size > self._limit:
            raise ProtocolViolation(f"a message with a body of {size} bytes")
        if self._size < size + 8:
            self._needed = size + 8
            return None
        self._needed = 8
        end = start + 8 + size
        self._size -= size + 8
        if self._size:
            self._offset = end
        else:
            self._chunks = []
            self._offset = 0
        return Frame(kind, schema, data[start + 8 : end])

    def _gathered(self) -> Frame:
        """A message that came in pieces, its header in the first and its end in the last one."""
        pieces = self._chunks
        first, last = pieces[0], pieces[-1]
        _, kind, schema, _ = HEADER.unpack_from(first, self._offset)
        pieces[0] = first[self._offset + HEADER.size :]
        left = self._size - self._needed
        rest: list[bytes] = []
        if left:
            rest = [last[-left:]]
            pieces[-1] = pieces[-1][:-left]
        body = b"".join(pieces)
        self._chunks, self._offset, self._size, self._needed = rest, 0, left, HEADER.size
        return Frame(kind, schema, body)
