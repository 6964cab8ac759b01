"""Fetching a whole database (DUMP) from a chosen member, piece by piece as it comes.

The member builds its answer in memory; here only one chunk is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from dqlite_dbapi.errors import (
    Error,
    NoLeader,
    OperationalError,
    ProtocolViolation,
    Timeout,
    from_failure,
)
from dqlite_dbapi.protocol import admin
from dqlite_dbapi.protocol.effects import Flow, Limit, Open, Race, Sleep
from dqlite_dbapi.protocol.leader import WIDTH, LeaderSearch, MemberView
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire import responses
from dqlite_dbapi.wire.constants import Request, Response
from dqlite_dbapi.wire.requests import HEADER, encode
from dqlite_dbapi.wire.values import U64

#: Seconds by which a less wanted member is held back in a race (see `Fetch.nearest`).
_HANDICAP_LEADER = 0.05
_HANDICAP_ALONE = 0.5
_GREETING = 2.0
_FILES = 2
_LONGEST_NAME = 4096
_LONGEST_FAILURE = 1 << 16


class Sink(Protocol):
    """Where the bytes of a copy go."""

    def begin(self, index: int) -> None:
        """What follows is the database file (0) or its write-ahead log (1); also starts anew."""

    def write(self, piece: bytes) -> object:
        """Keep the next bytes of the present file."""


class Origin(NamedTuple):
    """Where a copy came from: the member, whether it led, and when it was asked (of the clock)."""

    address: str
    is_leader: bool
    asked: float


@dataclass(frozen=True)
class Fetch:
    """One copy to be made: of `database`, into `sink`; a member is found before `deadline`.

    `patience`: seconds that the copy may stall; None: it ends before the deadline as well.
    `progress` is called with the bytes received so far and those of the whole answer.
    """

    view: MemberView
    database: str
    sink: Sink
    deadline: float
    clock: Callable[[], float]
    random: Callable[[], float]
    patience: float | None = None
    progress: Callable[[int, int], object] | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least a little."""
        return max(self.deadline - self.clock(), 0.01)

    def at(self, address: str) -> Flow[Origin]:
        """Copy from one member, leader or not."""
        session = yield from self._greet(address, self.left)
        return (yield from self._copy(session))

    def leader_first(self) -> Flow[Origin]:
        """Copy from the leader; where none is found in half the time, from any member."""
        search = LeaderSearch(self.view, admin.greet, self.clock, self.random)
        try:
            session = yield from search.find(self.clock() + self.left / 2, self.left)
            return (yield from self._copy(session))
        except Error as error:
            if not error.is_retryable or self.clock() >= self.deadline:
                raise
        return (yield from self.nearest())

    def nearest(self) -> Flow[Origin]:
        """Copy from any member: a follower before the leader, and one in touch before one alone.

        A follower that names a leader has heard from it within an election timeout. Members that
        do not have the database are left out.
        """
        errors: dict[str, Error] = {}
        while True:
            candidates = [each for each in self.view.candidates() if each not in errors]
            greetings = tuple(partial(self._compete, each) for each in candidates)
            found = (yield Race(greetings, WIDTH)) if greetings else None
            if found is None or found.value is None:
                errors.update(zip(candidates, found.errors if found else (), strict=True))
                raise self._failure(errors)
            session: Session = found.value
            try:
                return (yield from self._copy(session))
            except OperationalError as error:
                errors[session.address] = error
                if self.clock() >= self.deadline:
                    raise

    def _failure(self, errors: dict[str, Error]) -> Error:
        lacking = [error for error in errors.values() if error.code == admin.NOT_FOUND]
        if lacking:
            return lacking[0]
        reasons = "; ".join(f"{address}: {error.message}" for address, error in errors.items())
        return NoLeader(f"no member gave a copy of {self.database!r} ({reasons})")

    def _greet(self, address: str, patience: float) -> Flow[Session]:
        session = Session(address, self.clock, patience)
        yield Open(address, patience)
        yield from session.open(None)
        return session

    def _compete(self, address: str) -> Flow[Session]:
        session = yield from self._greet(address, min(self.left, _GREETING))
        if session.leader == address:
            self.view.learn(session)
        if not session.leader:
            yield Sleep(min(_HANDICAP_ALONE, self.left))
        elif session.leader == address and len(session.members) > 1:
            yield Sleep(_HANDICAP_LEADER)
        return session

    def _copy(self, session: Session) -> Flow[Origin]:
        asked = self.clock()
        yield Limit(self.patience or self.left)
        yield from _Download(self, session).run()
        return Origin(session.address, session.leader == session.address, asked)


class _Download:
    """Reads one FILES message into the sink."""

    def __init__(self, fetch: Fetch, session: Session) -> None:
        self._fetch = fetch
        self._session = session
        self._held = b""
        self._received = 0
        self._total = 0

    def run(self) -> Flow[None]:
        session = self._session
        session.to(State.BUSY)
        self._held = yield encode(Request.DUMP, self._fetch.database)
        self._received = len(self._held)
        words, kind, _, _ = HEADER.unpack((yield from self._exactly(HEADER.size)))
        size = words << 3
        self._total = size + HEADER.size
        self._tell()
        if kind == Response.FAILURE and size <= _LONGEST_FAILURE:
            failure = responses.decode_failure((yield from self._exactly(size)))
            session.to(State.READY)
            if failure.code == admin.NOT_FOUND:
                raise admin.unknown(session, self._fetch.database)
            raise from_failure(*failure, session.address)
        count = yield from self._word()
        if kind != Response.FILES or count != _FILES:
            raise ProtocolViolation(f"DUMP was answered by type {kind}", address=session.address)
        sizes = []
        for index in range(count):
            yield from self._skip_name()
            sizes.append((yield from self._word()))
            if sizes[-1] > size:
                reason = f"a file of {sizes[-1]} bytes exceeds its message"
                raise ProtocolViolation(reason, address=session.address)
            self._fetch.sink.begin(index)
            yield from self._pour(sizes[-1])
        session.to(State.READY)
        if not any(sizes):
            raise admin.unknown(session, self._fetch.database)

    def _chunk(self) -> Flow[bytes]:
        chunk: bytes = yield b""
        self._received += len(chunk)
        if self._fetch.patience is None and self._fetch.clock() > self._fetch.deadline:
            raise Timeout("the copy did not arrive in time", address=self._session.address)
        self._tell()
        return chunk

    def _tell(self) -> None:
        if self._fetch.progress is not None and self._total:
            self._fetch.progress(self._received, self._total)

    def _exactly(self, size: int) -> Flow[bytes]:
        while len(self._held) < size:
            self._held += yield from self._chunk()
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _word(self) -> Flow[int]:
        return int(U64.unpack((yield from self._exactly(U64.size)))[0])

    def _skip_name(self) -> Flow[None]:
        """The server's names of the two files say nothing new."""
        for _ in range(0, _LONGEST_NAME, U64.size):
            if b"\0" in (yield from self._exactly(U64.size)):
                return
        raise ProtocolViolation("a file name without end", address=self._session.address)

    def _pour(self, size: int) -> Flow[None]:
        write = self._fetch.sink.write
        while size:
            if not self._held:
                self._held = yield from self._chunk()
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            write(piece)
