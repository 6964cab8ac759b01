"""The sync connection: a lock and a run for each method."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from dqlite_dbapi import errors
from dqlite_dbapi._base import BaseConnection
from dqlite_dbapi._quick import longer, request
from dqlite_dbapi._results import Parameters, Reply, RowBuffer
from dqlite_dbapi._sockets import leave_to_parent
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.cursor import Cursor
from dqlite_dbapi.options import Options, check_autocommit, check_isolation_level, parse
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import State
from dqlite_dbapi.rowfactory import RowFactory
from dqlite_dbapi.sql import Statement
from dqlite_dbapi.tls import from_options

T = TypeVar("T")
R = TypeVar("R")
_READY = State.READY


class Connection(BaseConnection, Generic[R]):
    """A connection to one database, kept at the cluster's leader through failovers (PEP 249).

    Threads may share it; it runs one statement at a time. As a context manager it commits, or
    rolls back after an exception, and stays open, as `sqlite3` does. `R` is what a row becomes.
    """

    def __init__(self, options: Options) -> None:
        """Find the leader within `connect_timeout`; `NoLeader` names each member's reason."""
        super().__init__(options)
        self._lock = threading.RLock()
        self._io = SyncIO(
            tls=from_options(options),
            keepalive=options.keepalive,
            user_timeout=options.tcp_user_timeout,
        )
        leave_to_parent(self)
        self._run(self._connect(monotonic() + options.connect_timeout))

    def cursor(self) -> Cursor[R]:
        """A new cursor on this connection."""
        self._require_open()
        return Cursor(self)

    def execute(
        self, sql: str, parameters: Parameters = (), /, *, consistency: str | None = None
    ) -> Cursor[R]:
        """Run one statement on a new cursor and return that (as `sqlite3`)."""
        return self.cursor().execute(sql, parameters, consistency=consistency)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor[R]:
        """Run a statement for each item on a new cursor and return that (as `sqlite3`)."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str, /) -> Cursor[R]:
        """Run a script on a new cursor and return that (as `sqlite3`)."""
        return self.cursor().executescript(script)

    def commit(self) -> None:
        """Commit the open transaction, if there is one.

        `CommitUnknown` when the answer is lost, `ConnectionLost` when it is certain that nothing
        was applied.
        """
        self._run(self._commit())

    def rollback(self) -> None:
        """Roll back the open transaction, if there is one."""
        self._run(self._rollback())

    @property
    def autocommit(self) -> bool | int:
        """True: each statement is its own transaction. Setting it to True commits an open one.

        `LEGACY_TRANSACTION_CONTROL` is what `sqlite3` does by default: a transaction is begun only
        before INSERT, UPDATE, DELETE and REPLACE, and SAVEPOINT to RELEASE can be one by itself.
        """
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool | int) -> None:
        mode = check_autocommit(value)
        if mode is True:
            self.commit()
        self._apply_autocommit(mode)

    @property
    def isolation_level(self) -> str | None:
        """`sqlite3`'s name for how transactions begin: None is autocommit, else the mode of BEGIN.

        Setting it to None commits an open transaction.
        """
        return self._isolation_level if self._implied else None

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        checked = check_isolation_level(level)
        if checked is None:
            self.commit()
        self._apply_isolation_level(checked)

    def interrupt(self) -> None:
        """Same as `cancel`, under the name that `sqlite3` uses."""
        self.cancel()

    def cancel(self) -> None:
        """Make the call that runs in another thread fail at once; may be called from any thread.

        It ends with `Interrupted`, or with `CommitUnknown` where a write may still be applied. The
        server cannot be interrupted (wire-protocol 6.3), so the socket is dropped; the connection
        reconnects when it is used again.
        """
        self._io.cancel()

    def iterdump(self) -> Iterator[str]:
        """The committed content as SQL text, statement by statement (as `sqlite3`).

        A copy of the database is fetched and held in memory meanwhile.
        """
        from dqlite_dbapi.snapshot import iterdump

        return iterdump(self)

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back. May be repeated."""
        if self._is_half_read and self._lock.acquire(blocking=False):
            try:
                with suppress(errors.Error):
                    self._io.run(self._leave())
            finally:
                self._lock.release()
        self._closed = True
        self._session.to(State.CLOSED)
        self._io.close()
        self._forget_snapshot()

    def abandon(self) -> None:
        """In a forked child: another thread of the parent may hold the lock, so make a new one."""
        self._lock = threading.RLock()

    def __enter__(self) -> Connection[R]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.rollback()
            return
        try:
            self.commit()
        except errors.Error:
            self.rollback()
            raise

    def _run(self, flow: Flow[T]) -> T:
        with self._lock:  # not acquire() and try: Ctrl-C can come between the two
            try:
                if self._closed:
                    self._require_open()
                return self._io.run(flow)
            except BaseException as error:
                self._clear(error)
                raise

    def _quickly(self, statement: Statement, values: Sequence[object]) -> Reply:
        """Run a simple statement of the user's by the short way (`_quick`), if it is open."""
        with self._lock:
            try:
                started = monotonic()
                try:
                    came = self._io.ask(request, self, statement, values)
                    if isinstance(came, tuple):
                        self._session.state = _READY
                        return RowBuffer(*came)
                except errors.Error as error:
                    return self._io.run(longer(self, statement, values, error, started))
                if came is None:
                    return self._run(self._perform(statement, values))
                return self._io.run(longer(self, statement, values, came, started))
            except BaseException as error:
                self._clear(error)
                raise

    def _clear(self, error: BaseException) -> None:
        """After `error` left a call: close a socket on which an answer may still come."""
        if self._interrupted(anywhere=not isinstance(error, Exception)):
            self._io.close()

    def _advance(self, rows: RowBuffer, *, to_end: bool = False) -> None:
        """Receive the next part of `rows`, or all the parts that are left."""
        with self._lock:
            if rows.more:
                self._run(self._rest(rows) if to_end else self._next_part(rows))

    def _give_up(self, rows: RowBuffer) -> None:
        if not self._closed:
            with self._lock:
                if rows.more:
                    self._run(self._discard())

    def _stale(self, statement: Statement, values: Sequence[object]) -> Reply:
        """Answer a read from a snapshot of any member, at most `self.staleness` seconds old."""
        from dqlite_dbapi._copy import answer
        from dqlite_dbapi.snapshot import stale_snapshot

        with self._lock:
            self._require_open()
            held = self._snapshot
            if held is None or held.age > self.staleness:
                fresh = stale_snapshot(self._options, monotonic() + self._timeout)
                self._forget_snapshot()
                self._snapshot = held = fresh
            return answer(held, statement, values)


@overload
def connect(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    *,
    row_factory: RowFactory[R],
    **options: object,
) -> Connection[R]: ...
@overload
def connect(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    *,
    row_factory: None = None,
    **options: object,
) -> Connection[tuple[Any, ...]]: ...
def connect(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    **options: object,
) -> Connection[Any]:
    """Connect to the leader of the cluster that `target` names.

    `target`: `dqlite://h1:9001,h2:9001/db?option=value`, `h1:9001,h2:9001` or a list of addresses;
    None reads `DQLITE_URL` or `DQLITE_CLUSTER`. Options: see `Options`. Raises `InterfaceError`
    for a bad option and `NoLeader` when no leader is found within `connect_timeout`.
    """
    return Connection(parse(target, database, **options))
