"""The blocking pool: lends connections to threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from dqlite_dbapi import _poolbase
from dqlite_dbapi._bell import Bell
from dqlite_dbapi.connection import Connection
from dqlite_dbapi.options import Options
from dqlite_dbapi.rowfactory import RowFactory

R = TypeVar("R")
Hook = Callable[[Connection[Any]], object]


class ConnectionPool(_poolbase.BasePool[Connection[R]], Generic[R]):
    """Lends connections to threads and takes them back clean; the names are psycopg_pool's.

    One thread of its own opens and closes connections; it lives only while there are some. A child
    that is forked starts with an empty pool. `Depends(pool)` of FastAPI lends one for a request.
    """

    @overload
    def __init__(
        self,
        target: str | Iterable[str] | Options | None = None,
        database: str | None = None,
        *,
        row_factory: RowFactory[R],
        **options: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: ConnectionPool[tuple[Any, ...]],
        target: str | Iterable[str] | Options | None = None,
        database: str | None = None,
        *,
        row_factory: None = None,
        min_size: int = 4,
        max_size: int | None = None,
        timeout: float = 30.0,
        max_waiting: int = 0,
        max_lifetime: float = 3600.0,
        max_idle: float = 600.0,
        reconnect_timeout: float = 300.0,
        check: Hook | None = None,
        configure: Hook | None = None,
        reset: Hook | None = None,
        name: str | None = None,
        open: bool = True,
        **options: object,
    ) -> None: ...
    def __init__(
        self,
        target: str | Iterable[str] | Options | None = None,
        database: str | None = None,
        *,
        open: bool = True,  # noqa: A002 - the name is psycopg_pool's
        **settings: Any,
    ) -> None:
        """`target`, `database` and other settings as for `connect`; times are in seconds.

        `min_size` connections are held ready and `max_size` (default: the same) made on demand.
        `timeout`: wait for a free one (that of calls is an option in the URL); `max_waiting`
        requests may wait, 0 for any number. A connection is replaced after `max_lifetime`, closed
        after `max_idle` unused. Opening is retried for `reconnect_timeout` without a request.
        `configure(connection)` runs for each new one, `check` before and `reset` after each use; a
        connection for which one raises is replaced. `open=False` waits for `open()`.
        """
        self._signals = Bell()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        super().__init__(target, database, settings)
        if open:
            self.open()

    @staticmethod
    def check_connection(connection: Connection[Any]) -> None:
        """A cheap `check`: one round trip to the leader."""
        connection.execute("SELECT 1").fetchone()

    # -- lending

    def connection(self, timeout: float | None = None) -> Lease[R]:
        """Lend a connection for a `with` block, which commits, or rolls back after an exception.

        Raises as `getconn`.
        """
        return Lease(self, timeout)

    def __call__(self) -> Iterator[Connection[R]]:
        """Lend a connection as a generator, which is what FastAPI's `Depends(pool)` takes."""
        with Lease(self, None) as connection:
            yield connection

    def getconn(self, timeout: float | None = None) -> Connection[R]:
        """Lend a connection, which must be returned by `putconn`; better use `connection()`.

        `PoolTimeout` if none is free within `timeout` seconds (default: the pool's), `PoolClosed`.
        """
        give_up = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            with self._lock:
                connection = self._ledger.take(time.monotonic())
            if connection is None:
                connection = self._wait_for_one(give_up)
            if self._hooks.check is None or self._passes(connection):
                return connection

    def _wait_for_one(self, give_up: float) -> Connection[R]:
        gate = threading.Lock()
        gate.acquire()
        with self._lock:
            now = time.monotonic()
            connection = self._ledger.take(now)
            if connection is not None:
                return connection
            waiter = self._ledger.queue(now, gate.release)
            self._wake()
        try:
            gate.acquire(timeout=max(give_up - now, 0))
        except BaseException:
            with self._lock:
                connection = self._ledger.give_up(waiter, time.monotonic())
            if connection is not None:
                self._give_back(connection, keep=True)
            raise
        with self._lock:
            return self._ledger.settle(waiter, time.monotonic())

    def _passes(self, connection: Connection[R]) -> bool:
        """Check a connection; one that fails leaves the pool."""
        check = self._hooks.check or self.check_connection
        keep = False
        try:
            check(connection)
            keep = True
        except Exception as error:
            _poolbase.log.warning("%s: a connection failed its check: %s", self._name, error)
        finally:
            if not keep:
                self._give_back(connection, keep=False, is_check=True)
        return keep

    def putconn(self, connection: Connection[R]) -> None:
        """Return a connection; what was not committed is rolled back.

        One that is closed, or has been changed for good, is replaced. `InterfaceError` if the
        connection is not on loan from this pool.
        """
        if connection in self._inherited:
            self._inherited.discard(connection)
            connection.close()
            return
        before = self._ledger.lease(connection).baseline
        try:
            keep = self._is_clean(connection) and _poolbase.restore(connection, before)
        except BaseException:
            self._give_back(connection, keep=False)
            raise
        self._give_back(connection, keep=keep)

    def _is_clean(self, connection: Connection[R]) -> bool:
        if connection.closed:
            return False
        try:
            if not _poolbase.is_quiet(connection):
                connection.rollback()
            if self._hooks.reset is not None:
                self._hooks.reset(connection)
                _poolbase.require_quiet(connection, "reset")
        except Exception as error:
            _poolbase.log.warning("%s: a connection was not returned clean: %s", self._name, error)
            return False
        return True

    def _give_back(self, connection: Connection[R], *, keep: bool, is_check: bool = False) -> None:
        now = time.monotonic()
        with self._lock:
            stays = self._ledger.give_back(connection, now, keep=keep, is_check=is_check)
            if not stays:
                self._wake()
        if not stays:
            connection.close()

    # -- the whole pool

    def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Open the pool; nothing happens if it is open. A closed pool may be opened again.

        `wait`: as `wait(timeout)`, and close the pool if that fails.
        """
        with self._lock:
            self._ledger.closed = False
            self._wake()
        if wait:
            try:
                self.wait(timeout)
            except BaseException:
                self.close()
                raise

    def wait(self, timeout: float = 30.0) -> None:
        """Wait until `min_size` connections are there; `PoolTimeout` after `timeout` seconds.

        An error that no further attempt can avoid, such as a bad certificate, is raised at once.
        """
        gate = threading.Lock()
        gate.acquire()
        start = time.monotonic()
        with self._lock:
            if self._ledger.closed or self._ledger.is_full:
                return self._ledger.require_open()
            self._ledger.on_full.append(gate.release)
            self._wake()
        gate.acquire(timeout=timeout)
        with self._lock:
            self._ledger.require_full(time.monotonic() - start)

    def check(self) -> None:
        """Check every idle connection, by `check` or a SELECT; one that fails is replaced."""
        with self._lock:
            borrowed = self._ledger.borrow_idle()
        try:
            while borrowed:
                connection = borrowed.pop()
                if self._passes(connection):
                    self._give_back(connection, keep=True, is_check=True)
        finally:
            for connection in borrowed:
                self._give_back(connection, keep=True, is_check=True)

    def resize(self, min_size: int, max_size: int | None = None) -> None:
        """Change how many connections there are; those too many are closed when they are idle."""
        with self._lock:
            self._ledger.resize(min_size, max_size)
            self._wake()

    def drain(self) -> None:
        """Replace all connections: idle ones now, lent ones when they are returned."""
        with self._lock:
            self._ledger.drain()
            self._wake()

    def close(self, timeout: float = 5.0) -> None:
        """Close the pool and wait `timeout` seconds for its thread. May be repeated.

        Whoever waits gets `PoolClosed`; lent connections are closed when they are returned.
        """
        with self._lock:
            idle, worker = self._ledger.close(), self._worker
            self._signals.ring()
        for connection in idle:
            connection.close()
        if worker is not None and worker is not threading.current_thread():
            worker.join(timeout)

    def __enter__(self) -> ConnectionPool[R]:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _abandon(self) -> None:
        self.close(timeout=0)

    # -- the thread

    def _notifier(self) -> Callable[[], object]:
        return self._signals.ring

    def _wake(self) -> None:
        """Have the thread look at what is due; the lock is held."""
        if self._worker is not None:
            self._signals.ring()
        elif self._ledger.pause(time.monotonic()) is not None:
            arguments = (weakref.ref(self), self._signals)
            worker = threading.Thread(target=_work, args=arguments, name=self._name, daemon=True)
            worker.start()
            self._worker = worker

    def _maintain(self) -> float | None:
        """Do what is due; returns seconds until the next time, None to end the thread."""
        with self._lock:
            now = time.monotonic()
            closing, opening = self._ledger.due(now, 1)
            if not closing and not opening:
                pause = self._ledger.pause(now)
                if pause is None:
                    self._worker = None
                return pause
        for connection in closing:
            connection.close()
        if opening:
            self._open_one()
        return 0

    def _open_one(self) -> None:
        connection: Connection[R] | None = None
        ledger, start = self._ledger, time.monotonic()
        try:
            connection = Connection(self._options)
            if self._hooks.configure is not None:
                self._hooks.configure(connection)
                _poolbase.require_quiet(connection, "configure")
        except Exception as error:
            now = time.monotonic()
            with self._lock:
                ledger.failed(error, now, now - start, is_final=_poolbase.is_final(error))
            if connection is not None:
                connection.close()
            _poolbase.log.warning("%s: no new connection: %s", self._name, error)
            return
        now = time.monotonic()
        with self._lock:
            stays = ledger.opened(connection, now, now - start, _poolbase.baseline(connection))
        if not stays:
            connection.close()

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._signals = Bell()
        self._worker = None
        super()._start_anew()
        for connection in self._inherited:
            connection._lock = threading.RLock()


class Lease(Generic[R]):
    """A connection on loan for the length of a `with` block."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: ConnectionPool[R], timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._connection: Connection[R]

    def __enter__(self) -> Connection[R]:
        self._connection = self._pool.getconn(self._timeout)
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection = self._connection
        try:
            if not (connection.closed or _poolbase.is_quiet(connection)):
                connection.__exit__(kind, error, traceback)
        finally:
            self._pool.putconn(connection)


def _work(reference: weakref.ref[ConnectionPool[Any]], signals: Bell) -> None:
    """Keep a pool in order without keeping it alive."""
    while True:
        pool = reference()
        pause = None if pool is None else pool._maintain()
        if pause is None:
            return
        del pool
        if pause:
            signals.wait(pause)
