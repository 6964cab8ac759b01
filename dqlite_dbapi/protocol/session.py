"""One wire session: a socket that a member answers on, as a table of states.

    NEW -> OPENING -> READY <-> BUSY, and from each of them BROKEN; CLOSED ends it.

BUSY lasts from a request until its last answer was read. A session left while BUSY is BROKEN: its
answers can no longer be told apart, so it is never used again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from dqlite_dbapi.errors import (
    ConnectionLost,
    DatabaseError,
    DataError,
    NotLeader,
    ProtocolViolation,
    Timeout,
    from_failure,
)
from dqlite_dbapi.protocol.effects import Flow, Into, Send
from dqlite_dbapi.protocol.flavour import EARLIEST, Flavour
from dqlite_dbapi.wire import responses, rows
from dqlite_dbapi.wire.constants import ROWS_PART, Request, Response
from dqlite_dbapi.wire.frames import Frame, FrameBuffer
from dqlite_dbapi.wire.requests import HANDSHAKE, encode

_FAILURE, _SERVER, _DB = int(Response.FAILURE), int(Response.SERVER), int(Response.DB)
_ROWS, _RESULT = int(Response.ROWS), int(Response.RESULT)
_PART_MARKER = ROWS_PART.to_bytes(8, "little")
_NOT_AUTHORIZED = 23


class State(Enum):
    """States of a session."""

    __hash__ = object.__hash__  # an Enum's own is a function in Python

    NEW = "new"
    OPENING = "opening"
    READY = "ready"
    BUSY = "busy"
    BROKEN = "broken"
    CLOSED = "closed"


_NEXT = {
    State.NEW: {State.OPENING, State.BROKEN, State.CLOSED},
    State.OPENING: {State.READY, State.BROKEN, State.CLOSED},
    State.READY: {State.BUSY, State.BROKEN, State.CLOSED},
    State.BUSY: {State.READY, State.BROKEN, State.CLOSED},
    State.BROKEN: {State.BROKEN, State.CLOSED},
    State.CLOSED: {State.CLOSED},
}


class RowPart(NamedTuple):
    """Rows of one ROWS message; `more` when the server sends another part by itself.

    `head`: the type codes of the first row as they stood on the wire, empty without rows.
    """

    names: tuple[str, ...]
    rows: list[rows.Row]
    more: bool
    head: bytes


class Session:
    """Sends requests and reads their answers in order; every method but `to` is a flow."""

    __slots__ = (
        *("_buffer", "_clock", "_header", "_names"),
        *("address", "flavour", "is_grown", "leader", "members", "patience", "state"),
    )

    def __init__(self, address: str, clock: Callable[[], float], patience: float) -> None:
        """`patience`: seconds that one message may take to arrive whole once it has begun."""
        self.address = address
        self.state = State.NEW
        self.flavour = EARLIEST
        self.is_grown = False  #: whether the server's buffer takes rows of any width
        self.leader = ""
        self.members: tuple[responses.Member, ...] = ()
        self._header = b""
        self._names: tuple[str, ...] = ()
        self._buffer = FrameBuffer()
        self._clock = clock
        self.patience = patience

    def to(self, state: State) -> None:
        """Change the state; `ProtocolViolation` for a change that the table does not have."""
        if state not in _NEXT[self.state]:
            raise ProtocolViolation(
                f"a session that is {self.state.value} cannot become {state.value}",
                address=self.address,
            )
        self.state = state

    @property
    def is_unfinished(self) -> bool:
        """True between a request and the last of its answers."""
        return self.state is State.OPENING or self.state is State.BUSY

    def drop(self) -> None:
        """Break the session for good, whatever state it is in."""
        if self.state is not State.CLOSED:
            self.to(State.BROKEN)

    def _frame(self, message: bytes) -> Flow[Frame]:
        """Send `message` (nothing if empty) and read one whole message."""
        buffer = self._buffer
        frame = buffer.next_frame() if len(buffer) and not message else None
        if frame is not None:
            return frame
        if not buffer.is_long:
            buffer.feed((yield message))
            frame = buffer.next_frame()
        if frame is None:
            give_up = self._clock() + self.patience
            while frame is None:
                if buffer.is_long:
                    with buffer.room() as room:
                        count = yield Into(room)
                    buffer.filled(count)
                else:
                    buffer.feed((yield b""))
                frame = buffer.next_frame()
                if frame is None and self._clock() > give_up:
                    raise Timeout(
                        f"a message took longer than {self.patience} s", address=self.address
                    )
        return frame

    def call(self, message: bytes, expected: int = _RESULT) -> Flow[Frame]:
        """Exchange one request for its one answer; FAILURE is raised as its exception.

        `ProtocolViolation` for an answer of another type than `expected`.
        """
        self._begin()
        frame = yield from self._frame(message)
        if frame.kind == _FAILURE:
            self.state = State.READY
            raise from_failure(*responses.decode_failure(frame.body), self.address)
        if frame.kind != expected:
            raise self._unexpected(frame)
        self.state = State.READY
        return frame

    def burst(self, messages: bytes, count: int, expected: int = _RESULT) -> Flow[list[Frame]]:
        """Send several requests at once and read the one answer of each, failures included.

        `ProtocolViolation` for an answer that is neither a failure nor of the type `expected`.
        The server takes the next request when the answer before it is written, so the answers
        must fit the socket's buffers while the requests are being sent: some hundreds.
        """
        self._begin()
        return (yield from self._answers(messages, count, expected))

    def launch(self, messages: bytes) -> Flow[None]:
        """As `burst`, but leave the answers to `land`. The session stays BUSY."""
        self._begin()
        yield Send(messages)

    def land(self, count: int) -> Flow[list[Frame]]:
        """Read the answers of what `launch` sent."""
        self._require(State.BUSY)
        return (yield from self._answers(b"", count, _RESULT))

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise ConnectionLost(f"the session is {self.state.value}", address=self.address)

    def _begin(self) -> None:
        self._require(State.READY)
        self.state = State.BUSY

    def _answers(self, messages: bytes, count: int, expected: int) -> Flow[list[Frame]]:
        frames = [(yield from self._frame(messages))]
        take = self._buffer.next_frames
        while len(frames) < count:
            frames += take(count - len(frames)) or [(yield from self._frame(b""))]
        for frame in frames:
            if frame.kind not in (expected, _FAILURE):
                raise self._unexpected(frame)
        self.state = State.READY
        return frames

    def query(self, message: bytes, *, is_wide: bool = False) -> Flow[RowPart]:
        """Send a QUERY; returns the first part of its rows. With `more` the session stays BUSY.

        `is_wide`: a row may have more columns than the server's first buffer takes.
        """
        self._begin()
        if is_wide and not self.is_grown:
            yield from self._grow(message)
            message = b""
        return (yield from self._part(message))

    def _grow(self, message: bytes) -> Flow[None]:
        """Send `message` behind a row that makes the server's buffer larger, and read that row.

        A wide row that begins near the end of a page is written beyond the first one (hazard H13).
        """
        frame = yield from self._frame(_LARGE_ROW + message)
        while frame.kind == _ROWS and frame.body.endswith(_PART_MARKER):
            frame = yield from self._frame(b"")
        if frame.kind not in (_ROWS, _FAILURE):
            raise self._unexpected(frame)
        self.is_grown = frame.kind == _ROWS
        self._header = b""

    def resume(self, chunk: bytes) -> Flow[RowPart]:
        """As `query`, whose message has been sent and whose answer begins with `chunk`."""
        self._buffer.feed(chunk)
        self._header = b""
        return self._part(b"")

    def next_part(self) -> Flow[RowPart]:
        """Read the next part of the rows that `query` began."""
        return self._part(b"")

    def _part(self, message: bytes) -> Flow[RowPart]:
        frame = yield from self._frame(message)
        if frame.kind == _FAILURE:
            self.state = State.READY
            raise from_failure(*responses.decode_failure(frame.body), self.address)
        if frame.kind != _ROWS:
            raise self._unexpected(frame)
        body = frame.body
        header = self._header  # names are repeated in every part
        if message or not (header and body.startswith(header)):
            self._names, offset = rows.decode_header(body)
            self._header = bytes(body[:offset])
        names = self._names
        found: list[rows.Row] = []
        try:
            more = rows.decode_rows(body, len(self._header), len(names), found, frame.blob)
        except DataError:
            if not body.endswith(_PART_MARKER):
                self.state = State.READY
            raise
        if not more:
            self.state = State.READY
        elif not found:
            raise ProtocolViolation(
                "the server sends empty parts without end",
                address=self.address,
                hint="the column names are too long together; give the columns short aliases",
            )
        start = len(self._header)
        head = b""
        if found:
            head = bytes(body[start : start + (len(names) + 1 >> 1)])
            self._buffer.reuse(body)
        ahead = self._buffer.ahead if more else None
        if ahead is not None:
            offset, more = rows.decode_parts(*ahead, self._header, len(names), found)
            self._buffer.skip_to(offset)
            if not more:
                self.state = State.READY
        return RowPart(names, found, more, head)

    def open(
        self, database: str | None, setup: tuple[bytes, ...] = (), *, lists: bool = True
    ) -> Flow[None]:
        """Greet the member, and with `database` open it there, all in one flight.

        Answers are read for the flavour's first probe, CLUSTER if it `lists` the members, OPEN, the
        flavour's second probe, which only a leader answers, and each EXEC_SQL message in `setup`.
        Raises `NotLeader` when the member does not lead; `leader` tells who might ("" if unknown).
        All of it may take as long as one message does later.
        """
        self.to(State.OPENING)
        give_up = self._clock() + self.patience
        greeting = yield from self._in_time(give_up, _flight(database, setup, lists))
        knows_schemas = database is not None and greeting.kind == _FAILURE
        if not knows_schemas and greeting.kind != _SERVER:
            raise self._unexpected(greeting)
        if lists:
            listing = responses.decode((yield from self._in_time(give_up)))
            if isinstance(listing, responses.Servers):
                self.members = listing.members
        if database is None:
            self.leader = self._named(greeting)
        else:
            try:
                yield from self._open_answers(give_up, knows_schemas, len(setup))
            except NotLeader as error:
                if knows_schemas:  # and so refused to name it
                    greeting = yield from self._in_time(give_up, _LEADER)
                self.leader = self._named(greeting)
                known = f"it names {self.leader}" if self.leader else "it knows no leader"
                error.message += f"; {known}"
                raise
        self.to(State.READY)

    def _open_answers(self, give_up: float, knows_schemas: bool, setup: int) -> Flow[None]:
        """Read the answers that follow OPEN, all of them if the member does not lead."""
        take = self._buffer.next_frame
        refusal: NotLeader | None = None
        denies_pragmas = False
        for position in range(setup + 2):
            frame = take() or (yield from self._in_time(give_up))
            if frame.kind == (_RESULT if position else _DB):
                continue
            try:
                self._refuse(frame, is_probe=position == 1)
                denies_pragmas = True
            except NotLeader as error:
                refusal = refusal or error
            except DatabaseError as error:
                if refusal is None or error.is_disconnect:
                    raise
        if refusal is not None:
            raise refusal
        self.flavour = Flavour.probed(knows_schemas=knows_schemas, denies_pragmas=denies_pragmas)

    def _refuse(self, frame: Frame, *, is_probe: bool) -> None:
        """Raise what an answer of the wrong type means, unless the probe was not authorized."""
        if frame.kind != _FAILURE:
            raise self._unexpected(frame)
        failure = responses.decode_failure(frame.body)
        if not (is_probe and failure.code == _NOT_AUTHORIZED):
            raise from_failure(*failure, self.address)

    def _named(self, frame: Frame) -> str:
        if frame.kind != _SERVER:
            raise self._unexpected(frame)
        leader: str = responses.decode(frame).address
        return leader

    def _in_time(self, give_up: float, message: bytes = b"") -> Flow[Frame]:
        """As `_frame`, while there is time to open."""
        frame = yield from self._frame(message)
        if self._clock() > give_up:
            raise Timeout(f"opening took longer than {self.patience} s", address=self.address)
        return frame

    def _unexpected(self, frame: Frame) -> ProtocolViolation:
        reason = f"a request was answered by a message of the wrong type {frame.kind}"
        return ProtocolViolation(reason, address=self.address)


_LEADER = encode(Request.LEADER, 0)
_LEADER_1 = encode(Request.LEADER, 0, schema=1)
_CLUSTER = encode(Request.CLUSTER, 1)
#: Temporary tables stay in memory (hazard H12), and the second PRAGMA is not authorized by some.
_PROBE = encode(Request.EXEC_SQL, 0, "PRAGMA temp_store = 2; PRAGMA read_uncommitted = 0", ())
_LARGE_ROW = encode(Request.QUERY_SQL, 0, "SELECT zeroblob(8000)", ())


@lru_cache(maxsize=256)
def _flight(database: str | None, setup: tuple[bytes, ...], lists: bool) -> bytes:
    listing = (_CLUSTER,) if lists else ()
    if database is None:
        return b"".join((HANDSHAKE, _LEADER, *listing))
    opening = encode(Request.OPEN, database, 0, "")
    return b"".join((HANDSHAKE, _LEADER_1, *listing, opening, _PROBE, *setup))
