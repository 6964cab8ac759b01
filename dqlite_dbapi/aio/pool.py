"""The asyncio pool: lends connections to tasks."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from dqlite_dbapi import _poolbase
from dqlite_dbapi._async import AsyncIO
from dqlite_dbapi.aio.connection import AsyncConnection
from dqlite_dbapi.errors import InterfaceError
from dqlite_dbapi.options import Options
from dqlite_dbapi.rowfactory import RowFactory

R = TypeVar("R")
Hook = Callable[[AsyncConnection[Any]], Awaitable[object]]


class AsyncConnectionPool(_poolbase.BasePool[AsyncConnection[R]], Generic[R]):
    """Lends connections to tasks and takes them back clean; the names are psycopg_pool's.

    It belongs to the event loop that uses it first, and once that has closed it starts empty in the
    next one; so it may be made before any loop runs. Its tasks only open and close connections.
    `Depends(pool)` of FastAPI lends one for a request.
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
        self: AsyncConnectionPool[tuple[Any, ...]],
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
        """As `dqlite_dbapi.ConnectionPool`; `check`, `configure` and `reset` are coroutines.

        With `open=True` it opens its first connections when it is first used in an event loop.
        """
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        super().__init__(target, database, settings)
        self._ledger.closed = not open

    @staticmethod
    async def check_connection(connection: AsyncConnection[Any]) -> None:
        """A cheap `check`: one round trip to the leader."""
        await (await connection.execute("SELECT 1")).fetchone()

    # -- lending

    def connection(self, timeout: float | None = None) -> AsyncLease[R]:
        """Lend a connection for an `async with` block, which commits or, failing, rolls back.

        Raises as `getconn`.
        """
        return AsyncLease(self, timeout)

    async def __call__(self) -> AsyncIterator[AsyncConnection[R]]:
        """Lend a connection as a generator, which is what FastAPI's `Depends(pool)` takes."""
        async with AsyncLease(self, None) as connection:
            yield connection

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[R]:
        """Lend a connection, which must be returned by `putconn`; better use `connection()`.

        `PoolTimeout` if none is free within `timeout` seconds (default: the pool's), `PoolClosed`.
        A task that is cancelled while it waits takes none.
        """
        self._enter_loop()
        give_up = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = self._ledger.take(time.monotonic())
            if connection is None:
                connection = await self._wait_for_one(give_up)
            if self._hooks.check is None or await self._passes(connection):
                return connection

    async def _wait_for_one(self, give_up: float) -> AsyncConnection[R]:
        now = time.monotonic()
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = self._ledger.queue(now, lambda: _open_gate(gate))
        self._maintain()
        try:
            await asyncio.wait({gate}, timeout=max(give_up - now, 0))
        except BaseException:
            connection = self._ledger.give_up(waiter, time.monotonic())
            if connection is not None:
                self._give_back(connection, keep=True)
            raise
        return self._ledger.settle(waiter, time.monotonic())

    async def _passes(self, connection: AsyncConnection[R]) -> bool:
        """Check a connection; one that fails leaves the pool."""
        check = self._hooks.check or self.check_connection
        keep = False
        try:
            await check(connection)
            keep = True
        except Exception as error:
            _poolbase.log.warning("%s: a connection failed its check: %s", self._name, error)
        finally:
            if not keep:
                self._give_back(connection, keep=False, is_check=True)
        return keep

    async def putconn(self, connection: AsyncConnection[R]) -> None:
        """Return a connection; what was not committed is rolled back.

        One that is closed, or has been changed for good, is replaced. `InterfaceError` if the
        connection is not on loan from this pool.
        """
        if connection in self._inherited:
            self._inherited.discard(connection)
            await connection.close()
            return
        before = self._ledger.lease(connection).baseline
        try:
            keep = await self._is_clean(connection) and _poolbase.restore(connection, before)
        except BaseException:
            self._give_back(connection, keep=False)
            raise
        self._give_back(connection, keep=keep)

    async def _is_clean(self, connection: AsyncConnection[R]) -> bool:
        if connection.closed:
            return False
        try:
            if not _poolbase.is_quiet(connection):
                await connection.rollback()
            if self._hooks.reset is not None:
                await self._hooks.reset(connection)
                _poolbase.require_quiet(connection, "reset")
        except Exception as error:
            _poolbase.log.warning("%s: a connection was not returned clean: %s", self._name, error)
            return False
        return True

    def _give_back(
        self, connection: AsyncConnection[R], *, keep: bool, is_check: bool = False
    ) -> None:
        if not self._ledger.give_back(connection, time.monotonic(), keep=keep, is_check=is_check):
            self._spawn(connection.close(), self._closing)
            self._maintain()

    # -- the whole pool

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Open the pool; nothing happens if it is open. A closed pool may be opened again.

        `wait`: as `wait(timeout)`, and close the pool if that fails.
        """
        self._enter_loop()
        self._ledger.closed = False
        self._maintain()
        if wait:
            try:
                await self.wait(timeout)
            except BaseException:
                await self.close()
                raise

    async def wait(self, timeout: float = 30.0) -> None:
        """Wait until `min_size` connections are there; `PoolTimeout` after `timeout` seconds.

        An error that no further attempt can avoid, such as a bad certificate, is raised at once.
        """
        self._enter_loop()
        if self._ledger.closed or self._ledger.is_full:
            return self._ledger.require_open()
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        start = time.monotonic()
        self._ledger.on_full.append(lambda: _open_gate(gate))
        self._maintain()
        await asyncio.wait({gate}, timeout=timeout)
        self._ledger.require_full(time.monotonic() - start)

    async def check(self) -> None:
        """Check every idle connection, by `check` or a SELECT; one that fails is replaced."""
        self._enter_loop()
        borrowed = self._ledger.borrow_idle()
        try:
            while borrowed:
                connection = borrowed.pop()
                if await self._passes(connection):
                    self._give_back(connection, keep=True, is_check=True)
        finally:
            for connection in borrowed:
                self._give_back(connection, keep=True, is_check=True)

    async def resize(self, min_size: int, max_size: int | None = None) -> None:
        """Change how many connections there are; those too many are closed when they are idle."""
        self._enter_loop()
        self._ledger.resize(min_size, max_size)
        self._maintain()

    async def drain(self) -> None:
        """Replace all connections: idle ones now, lent ones when they are returned."""
        self._enter_loop()
        self._ledger.drain()
        self._maintain()

    async def close(self, timeout: float = 5.0) -> None:
        """Close the pool and wait `timeout` seconds for its tasks to end. May be repeated.

        Whoever waits gets `PoolClosed`; lent connections are closed when they are returned.
        """
        for connection in self._shut():
            await connection.close()
        if tasks := self._opening | self._closing:
            await asyncio.wait(tasks, timeout=timeout)

    def _shut(self) -> list[AsyncConnection[R]]:
        idle = self._ledger.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._opening:
            task.cancel()
        return idle

    async def __aenter__(self) -> AsyncConnectionPool[R]:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _abandon(self) -> None:
        self._shut()  # the connections are collected now, which closes their sockets

    # -- upkeep

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None:
            if not self._loop.is_closed():
                raise InterfaceError("the pool belongs to another event loop")
            self._start_anew()
        self._loop = loop

    def _start_anew(self) -> None:
        self._loop = self._timer = None
        self._opening, self._closing = set(), set()
        super()._start_anew()

    def _notifier(self) -> Callable[[], object]:
        return partial(_notice, weakref.ref(self))

    def _maintain(self) -> None:
        """Do what is due, and come back when something will be."""
        loop = self._loop
        if loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        closing, opening = self._ledger.due(now, self.max_size)
        for connection in closing:
            self._spawn(connection.close(), self._closing)
        for _ in range(opening):
            self._spawn(self._open_one(), self._opening).add_done_callback(self._opening_ended)
        pause = self._ledger.pause(now)
        again = weakref.ref(self)
        self._timer = None if pause is None else loop.call_later(pause, _maintain, again)

    @staticmethod
    def _spawn(
        coroutine: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    def _opening_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._ledger.abandoned()
        elif not self._ledger.closed:
            self._maintain()

    async def _open_one(self) -> None:
        ledger, start = self._ledger, time.monotonic()
        connection: AsyncConnection[R] = AsyncConnection(self._options)
        loop = asyncio.get_running_loop()
        weakref.finalize(connection, _close, connection._io, loop).atexit = False
        try:
            await connection.open()
            if self._hooks.configure is not None:
                await self._hooks.configure(connection)
                _poolbase.require_quiet(connection, "configure")
        except BaseException as error:
            self._spawn(connection.close(), self._closing)
            if not isinstance(error, Exception):
                raise
            now = time.monotonic()
            ledger.failed(error, now, now - start, is_final=_poolbase.is_final(error))
            _poolbase.log.warning("%s: no new connection: %s", self._name, error)
            return
        now = time.monotonic()
        if not ledger.opened(connection, now, now - start, _poolbase.baseline(connection)):
            self._spawn(connection.close(), self._closing)


class AsyncLease(Generic[R]):
    """A connection on loan for the length of an `async with` block."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: AsyncConnectionPool[R], timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._connection: AsyncConnection[R]

    async def __aenter__(self) -> AsyncConnection[R]:
        self._connection = await self._pool.getconn(self._timeout)
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection = self._connection
        try:
            if not (connection.closed or _poolbase.is_quiet(connection)):
                await connection.__aexit__(kind, error, traceback)
        finally:
            await self._pool.putconn(connection)


def _open_gate(gate: asyncio.Future[None]) -> None:
    if not gate.done():
        gate.set_result(None)


def _maintain(reference: weakref.ref[AsyncConnectionPool[Any]]) -> None:
    """Keep a pool in order without keeping it alive."""
    pool = reference()
    if pool is not None:
        pool._maintain()


def _notice(reference: weakref.ref[AsyncConnectionPool[Any]]) -> None:
    """A lent connection was dropped, which any thread may find out."""
    pool = reference()
    if pool is not None and pool._loop is not None:
        with suppress(RuntimeError):  # the loop has closed
            pool._loop.call_soon_threadsafe(_maintain, reference)


def _close(io: AsyncIO, loop: asyncio.AbstractEventLoop) -> None:
    """Close the socket of a connection that was dropped; in a loop it outlives its users."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(io.close)
