"""A model of a cluster that loses answers and applies requests late, around a real SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable
from types import SimpleNamespace
from typing import Any

from dqlite_dbapi.errors import (
    Busy,
    CommitUnknown,
    IntegrityError,
    Interrupted,
    NotLeader,
    OperationalError,
)
from dqlite_dbapi.protocol.effects import Sleep
from dqlite_dbapi.protocol.token import Clocks
from dqlite_dbapi.protocol.transaction import Transaction
from dqlite_dbapi.sql import Kind, Statement

Flow = Generator[Any, Any, Any]
Params = tuple[Any, ...]

#: What may become of a COMMIT, besides "cancelled" and "interrupted" by the program itself.
COMMITS = ["ok", "answer lost", "request lost", "late", "refused", "busy"]


class World:
    """The state that a cluster agrees on, requests still on their way, and what happens next.

    A transaction that is late is carried out anew, as a whole, at some later BEGIN: worse than any
    real cluster, where the transaction's locks and its leader's term stand in the way as well.
    """

    def __init__(
        self,
        commits: Iterable[str] = (),
        begins: Iterable[bool] = (),
        arrivals: Iterable[bool] = (),
    ) -> None:
        """`commits`: their fates in order; `begins`: which fail; `arrivals`: of late requests."""
        self.state = sqlite3.connect(":memory:", isolation_level=None)
        self.state.execute("CREATE TABLE work (a)")
        self.late: list[list[tuple[str, Params]]] = []
        self.now = 0.0
        self.drawn = 0
        self.chance = 0.5
        self.commits, self.begins, self.arrivals = iter(commits), iter(begins), iter(arrivals)
        self.clocks = Clocks(self.clock, self.clock, lambda: self.chance, self.entropy)

    def clock(self) -> float:
        """Seconds since the start."""
        return self.now

    def entropy(self, size: int) -> bytes:
        """Bytes that never come twice."""
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")

    def deliver(self) -> None:
        """Let the oldest request that is on its way arrive."""
        self.state.execute("BEGIN")
        try:
            for sql, params in self.late.pop(0):
                self.state.execute(sql, params)
            self.state.execute("COMMIT")
        except sqlite3.Error:
            self.state.execute("ROLLBACK")

    def deliver_all(self) -> None:
        """Let all requests arrive that are on their way."""
        while self.late:
            self.deliver()

    def done(self) -> int:
        """How often the work was done."""
        return int(self.state.execute("SELECT count(*) FROM work").fetchone()[0])

    def drive(self, flow: Flow) -> Any:
        """Run a flow; only time passes in its sleeps."""
        try:
            while True:
                effect = next(flow)
                assert isinstance(effect, Sleep)
                self.now += effect.seconds
        except StopIteration as stop:
            return stop.value


class Member:
    """A connection into a `World`: what `protocol.token` needs of one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._transaction = Transaction()
        self._changes = 0
        self._writes: list[tuple[str, Params]] = []

    @property
    def changes(self) -> int:
        """Writes that the connection counts as the program's."""
        return self._changes

    def perform(self, statement: Statement, params: Params = ()) -> Flow:
        """Run one statement."""
        return self._perform(statement, params)

    def rollback(self) -> Flow:
        """Roll back what is open."""
        return self._rollback()

    def _perform(self, statement: Statement, params: Params) -> Flow:
        yield from ()
        world = self.world
        world.now += 0.001
        if statement.kind is Kind.BEGIN:
            while next(world.arrivals, False) and world.late:
                world.deliver()
            if next(world.begins, False):
                raise NotLeader("elsewhere")
            self._writes = []
        try:
            rows = world.state.execute(statement.text, params).fetchall()
        except sqlite3.Error as error:
            is_integrity = isinstance(error, sqlite3.IntegrityError)
            kind = IntegrityError if is_integrity else OperationalError
            raise kind(str(error), code=19 if is_integrity else 1) from None
        if statement.kind in (Kind.WRITE, Kind.SCHEMA):
            self._writes.append((statement.text, params))
            self._changes += 1
        self._transaction.succeeded(statement)
        return SimpleNamespace(rows=rows)

    def _commit(self) -> Flow:
        yield from ()
        self.world.now += 0.001
        happens = next(self.world.commits, "ok")
        if happens == "busy":
            raise Busy("another writer", code=5)
        is_applied = happens in ("ok", "answer lost")
        self.world.state.execute("COMMIT" if is_applied else "ROLLBACK")
        self._transaction.ended()
        if happens == "late":
            self.world.late.append(self._writes)
        if happens == "refused":
            raise NotLeader("deposed")
        if happens == "interrupted":
            raise KeyboardInterrupt
        if happens == "cancelled":
            raise CommitUnknown("cancelled") from Interrupted("cancelled")
        if happens != "ok":
            raise CommitUnknown("the answer was lost")

    def _rollback(self) -> Flow:
        yield from ()
        if self._transaction.is_open:
            self.world.state.execute("ROLLBACK")
        self._transaction.ended()
