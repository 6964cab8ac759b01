"""The sync connection: a lock and a run for each method."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TypeVar

from dqlite_dbapi import errors
from dqlite_dbapi._base import BaseConnection
from dqlite_dbapi._results import Parameters, RowBuffer
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.cursor import Cursor
from dqlite_dbapi.options import Options, parse
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import State

T = TypeVar("T")


class Connection(BaseConnection):
    """A connection to one database, kept at the cluster's leader through failovers (PEP 249).

    Threads may share it; it runs one statement at a time. As a context manager it commits, or
    rolls back after an exception, and stays open, as `sqlite3` does.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, options: Options) -> None:
        """Find the leader within `connect_timeout`; `NoLeader` names each member's reason."""
        super().__init__(options)
        self._lock = threading.RLock()
        self._io = SyncIO()
        self._run(self._connect(time.monotonic() + options.connect_timeout))

    def cursor(self) -> Cursor:
        """A new cursor on this connection."""
        self._require_open()
        return Cursor(self)

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement on a new cursor and return that (as `sqlite3`)."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run a statement for each item on a new cursor and return that (as `sqlite3`)."""
        return self.cursor().executemany(sql, parameters)

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
    def autocommit(self) -> bool:
        """True: each statement is its own transaction. Setting it commits an open transaction."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value:
            self.commit()
        self._autocommit = bool(value)

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back. May be repeated."""
        self._closed = True
        self._session.to(State.CLOSED)
        self._io.close()

    def __enter__(self) -> Connection:
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
        self._lock.acquire()
        try:
            self._require_open()
            return self._io.run(flow)
        except BaseException:
            if self._interrupted():
                self._io.close()
            raise
        finally:
            self._lock.release()

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


def connect(
    target: str | Iterable[str] | None = None, database: str | None = None, **options: object
) -> Connection:
    """Connect to the leader of the cluster that `target` names.

    `target`: `dqlite://h1:9001,h2:9001/db?option=value`, `h1:9001,h2:9001` or a list of addresses;
    None reads `DQLITE_URL` or `DQLITE_CLUSTER`. Options: see `Options`. Raises `InterfaceError`
    for a bad option and `NoLeader` when no leader is found within `connect_timeout`.
    """
    return Connection(parse(target, database, **options))
