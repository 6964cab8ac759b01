"""Cutting a stream of bytes into messages (wire-protocol 1.2)."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from dqlite_dbapi.errors import ProtocolViolation
from dqlite_dbapi.wire._accel import blank, enlarge
from dqlite_dbapi.wire.constants import Response
from dqlite_dbapi.wire.requests import HEADER
from dqlite_dbapi.wire.rows import Blob, find_blob

DEFAULT_LIMIT = 1 << 31
#: A body of so many bytes is received in place, into memory that is made step by step, since a
#: peer may announce more than it sends, and kept for the next one up to a limit.
_LONG, _STEP, _KEPT = 1 << 20, 1 << 22, 1 << 24
_PORTION = 1 << 17  #: of a blob to be received at once: the peer may go on while it is copied


class Frame(NamedTuple):
    """One message: its type and schema numbers and its body without the header.

    `blob`: a long value of ROWS that is not in the body, with its offset there.
    """

    kind: int
    schema: int
    body: bytes | bytearray
    blob: Blob | None = None


class LongBlob:
    """Memory for one blob, most of whose bytes are received where they stay."""

    def __init__(self, start: int, size: int) -> None:
        """It begins at byte `start` of its message's body, and ends with padding."""
        self.start = start
        self.space = (size + 7) & ~7  #: bytes that it takes in the message
        self._size = size
        self._came = 0
        self._memory = BytesIO(blank(min(self.space, _KEPT)))

    @property
    def is_whole(self) -> bool:
        """True once all of it has come."""
        return self._came == self.space

    def room(self) -> memoryview:
        """Memory for some of what is left."""
        with self._memory.getbuffer() as memory:
            if self._came < len(memory):
                return memory[self._came : self._came + _PORTION]
            larger = BytesIO(blank(self.space))  # what is not filled costs nothing
            with larger.getbuffer() as room:
                room[: self._came] = memory
        self._memory = larger
        return self.room()

    def filled(self, count: int) -> None:
        """Count bytes that were received into `room()`."""
        self._came += count

    def value(self) -> bytes:
        """The blob, all of which has come: the very object that the memory is, not a copy."""
        self._memory.truncate(self._size)
        return self._memory.getvalue()


class FrameBuffer:
    """Collects received chunks and gives out whole messages, long ones copied at most once."""

    __slots__ = (
        *("_blob", "_chunks", "_filled", "_limit", "_long"),
        *("_needed", "_offset", "_size", "_spare"),
    )

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        """`limit` is the largest body accepted, in bytes."""
        self._chunks: list[bytes] = []
        self._size = 0  # bytes held, counted from _offset of the first chunk
        self._offset = 0
        self._needed = 8
        self._limit = limit
        self._long: tuple[int, int, int] | None = None  # kind, schema and size of a long message
        self._blob: LongBlob | None = None  # which is not counted in that size
        self._spare = bytearray()  # its body, of which `_filled` bytes have come
        self._filled = 0

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
        if self._long is not None:
            return self._completed(*self._long)
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
            if size >= _LONG:
                self._begin(kind, schema, size, data[start + 8 :])
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

    def next_frames(self, most: int) -> list[Frame]:
        """Messages that are at hand whole, at most so many; none where `next_frame` has to look."""
        frames: list[Frame] = []
        data, offset = self.ahead or (b"", 0)
        end = len(data)
        while len(frames) < most and end - offset >= HEADER.size:
            words, kind, schema, _ = HEADER.unpack_from(data, offset)
            size = words << 3
            stop = offset + HEADER.size + size
            if not words or stop > end or size > self._limit:
                break
            frames.append(Frame(kind, schema, data[offset + HEADER.size : stop]))
            offset = stop
        if frames:
            self.skip_to(offset)
        return frames

    @property
    def ahead(self) -> tuple[bytes, int] | None:
        """Bytes at hand and the offset of the next message in them; None if they are in pieces."""
        if len(self._chunks) != 1 or self._needed != HEADER.size:
            return None
        return self._chunks[0], self._offset

    def skip_to(self, offset: int) -> None:
        """Go on behind messages that were read `ahead`."""
        self._size -= offset - self._offset
        self._offset = offset
        if not self._size:
            self._chunks, self._offset = [], 0

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

    def _begin(self, kind: int, schema: int, size: int, came: bytes) -> None:
        """Receive a body of `size` bytes in place from here on; `came` is its beginning."""
        self._chunks, self._offset, self._size, self._needed = [], 0, 0, HEADER.size
        self._filled = 0
        found = find_blob(came, _LONG) if kind == Response.ROWS else None
        if found is None or not len(came) < sum(found) < size:
            self._long = kind, schema, size
        else:
            blob = LongBlob(*found)
            self._long = kind, schema, size - blob.space
            self._put(came[: blob.start])
            self._blob, came = blob, came[blob.start :]
        self._put(came)

    def _put(self, piece: bytes) -> None:
        with self.room(len(piece)) as room:
            room[: len(piece)] = piece
        self.filled(len(piece))

    @property
    def is_long(self) -> bool:
        """True while a long message is awaited, whose bytes are received into `room()`."""
        return self._long is not None

    def room(self, least: int = 0) -> memoryview:
        """Memory for bytes of a long message; release it, then tell `filled` how many came."""
        blob = self._pending
        if blob is not None:
            return blob.room()
        body, start = self._spare, self._filled
        size = self._long[2] if self._long is not None else 0
        if len(body) < min(size, start + max(least, 1)):
            enlarge(body, min(size, max(start + least, start * 4, _STEP)))
        elif len(body) > size:
            del body[size:]
        with memoryview(body) as whole:
            return whole[start:]

    def filled(self, count: int) -> None:
        """Count bytes that were received into `room()`."""
        blob = self._pending
        if blob is not None:
            blob.filled(count)
        else:
            self._filled += count

    @property
    def _pending(self) -> LongBlob | None:
        """The blob of a long message while bytes of it are still to come."""
        blob = self._blob
        return None if blob is None or blob.is_whole else blob

    def _completed(self, kind: int, schema: int, size: int) -> Frame | None:
        if self._filled < size or self._pending is not None:
            return None
        blob, self._blob, self._long = self._blob, None, None
        body, self._spare = self._spare, bytearray()
        return Frame(kind, schema, body, None if blob is None else (blob.start, blob.value()))

    def reuse(self, body: bytes | bytearray) -> None:
        """Take back the body of a message that nobody needs any more: the next may be long too.

        Fresh memory costs more than the copying. A short message or a very long one ends this.
        """
        self._spare = bytearray()
        if isinstance(body, bytearray) and len(body) <= _KEPT:
            self._spare = body
