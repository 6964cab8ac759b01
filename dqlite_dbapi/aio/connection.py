"""The asyncio connection: a turn and a run for each method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from dqlite_dbapi import errors
from dqlite_dbapi._async import AsyncIO
from dqlite_dbapi._base import BaseConnection
from dqlite_dbapi._quick import longer, request
from dqlite_dbapi._results import Parameters, Reply, RowBuffer
from dqlite_dbapi._turns import Turns
from dqlite_dbapi.aio.cursor import AsyncCursor
from dqlite_dbapi.options import Options, check_autocommit, check_isolation_level, parse
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import State
from dqlite_dbapi.rowfactory import RowFactory
from dqlite_dbapi.sql import Statement
from dqlite_dbapi.tls import from_options
from dqlite_dbapi.wire.rows import decode_answer

T = TypeVar("T")
R = TypeVar("R")


class AsyncConnection(BaseConnection, Generic[R]):
    """A connection to one database, kept at the cluster's leader through failovers.

    Tasks of one event loop may share it; it runs one statement at a time. Made by `connect`. As a
    context manager it commits, or rolls back after an exception, and stays open.
    """

    def __init__(self, options: Options) -> None:
        """Nothing is sent: `connect` opens it."""
        super().__init__(options)
        self._turns = Turns()
        self._io = AsyncIO(
            tls=from_options(options),
            keepalive=options.keepalive,
            user_timeout=options.tcp_user_timeout,
        )

    async def open(self) -> AsyncConnection[R]:
        """Find the leader within `connect_timeout`; `NoLeader` names each member's reason."""
        deadline = monotonic() + self._options.connect_timeout
        await self._run(self._connect(deadline))
        return self

    def cursor(self) -> AsyncCursor[R]:
        """A new cursor on this connection."""
        self._require_open()
        return AsyncCursor(self)

    async def execute(
        self, sql: str, parameters: Parameters = (), /, *, consistency: str | None = None
    ) -> AsyncCursor[R]:
        """Run one statement on a new cursor and return that."""
        return await self.cursor().execute(sql, parameters, consistency=consistency)

    async def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> AsyncCursor[R]:
        """Run a statement for each item on a new cursor and return that."""
        return await self.cursor().executemany(sql, parameters)

    async def executescript(self, script: str, /) -> AsyncCursor[R]:
        """Run a script on a new cursor and return that."""
        return await self.cursor().executescript(script)

    async def commit(self) -> None:
        """Commit the open transaction, if there is one.

        `CommitUnknown` when the answer is lost, `ConnectionLost` when it is certain that nothing
        was applied.
        """
        await self._run(self._commit())

    async def rollback(self) -> None:
        """Roll back the open transaction, if there is one."""
        await self._run(self._rollback())

    @property
    def autocommit(self) -> bool | int:
        """True: each statement is its own transaction. Set it by `set_autocommit`."""
        return self._autocommit

    async def set_autocommit(self, value: bool | int) -> None:
        """Switch autocommit; switching it on commits an open transaction."""
        mode = check_autocommit(value)
        if mode is True:
            await self.commit()
        self._apply_autocommit(mode)

    @property
    def isolation_level(self) -> str | None:
        """`sqlite3`'s name for how transactions begin: None is autocommit, else BEGIN's mode."""
        return self._isolation_level if self._implied else None

    async def set_isolation_level(self, level: str | None) -> None:
        """Set `isolation_level`; None commits an open transaction."""
        checked = check_isolation_level(level)
        if checked is None:
            await self.commit()
        self._apply_isolation_level(checked)

    def interrupt(self) -> None:
        """Same as `cancel`, under the name that `sqlite3` uses."""
        self.cancel()

    def cancel(self) -> None:
        """Make the call that another task waits for fail at once.

        It ends with `Interrupted`, or with `CommitUnknown` where a write may still be applied. The
        server cannot be interrupted (wire-protocol 6.3), so the socket is dropped; the connection
        reconnects when it is used again.
        """
        self._io.cancel()

    def iterdump(self) -> AsyncIterator[str]:
        """The committed content as SQL text, statement by statement.

        A copy of the database is fetched and held in memory meanwhile.
        """
        from dqlite_dbapi.aio.snapshot import iterdump

        return iterdump(self)

    async def close(self) -> None:
        """Close the connection; an open transaction is rolled back. May be repeated."""
        try:
            if self._is_half_read and not self._turns.is_taken:
                async with self._turns:
                    with suppress(errors.Error):
                        await self._io.run(self._leave())
        finally:
            self.terminate()

    def terminate(self) -> None:
        """Same as `close`, for where nothing can be awaited, such as a cancelled task."""
        self._closed = True
        self._session.to(State.CLOSED)
        self._io.close()
        self._forget_snapshot()

    async def __aenter__(self) -> AsyncConnection[R]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            await self.rollback()
            return
        try:
            await self.commit()
        except errors.Error:
            await self.rollback()
            raise

    async def _run(self, flow: Flow[T]) -> T:
        turns = self._turns
        if not turns.take():
            await turns.wait()
        try:
            return await self._run_locked(flow)
        finally:
            turns.give()

    async def _run_locked(self, flow: Flow[T]) -> T:
        if self._closed:
            self._require_open()
        try:
            return await self._io.run(flow)
        except BaseException:
            self._clear()
            raise

    async def _quickly(self, statement: Statement, values: Sequence[object]) -> Reply:
        """Run a simple statement of the user's by the short way (`_quick`), if it is open."""
        turns = self._turns
        if not turns.take():
            await turns.wait()
        try:
            started = monotonic()
            message = request(self, statement, values)
            if message is None:
                return await self._run_locked(self._perform(statement, values))
            try:
                came = await self._io.ask(message)
                found = came if came.__class__ is tuple else decode_answer(came)
                if found is not None:
                    self._session.state = State.READY
                    return RowBuffer(*found)
                rest = longer(self, statement, values, came, started)
            except errors.Error as error:
                rest = longer(self, statement, values, self._io.failed(error), started)
            return await self._io.run(rest)
        except BaseException:
            self._clear()
            raise
        finally:
            turns.give()

    def _clear(self) -> None:
        """After an error left a call: close a socket on which an answer may still come."""
        if self._interrupted(anywhere=False):
            self._io.close()

    async def _advance(self, rows: RowBuffer, *, to_end: bool = False) -> None:
        """Receive the next part of `rows`, or all the parts that are left."""
        async with self._turns:
            if rows.more:
                await self._run_locked(self._rest(rows) if to_end else self._next_part(rows))

    async def _give_up(self, rows: RowBuffer) -> None:
        if not self._closed:
            async with self._turns:
                if rows.more:
                    await self._run_locked(self._discard())

    async def _stale(self, statement: Statement, values: Sequence[object]) -> Reply:
        """Answer a read from a snapshot of any member, at most `self.staleness` seconds old."""
        from dqlite_dbapi._copy import answer
        from dqlite_dbapi.aio.snapshot import stale_snapshot

        async with self._turns:
            self._require_open()
            held = self._snapshot
            if held is None or held.age > self.staleness:
                fresh = await stale_snapshot(self._options, monotonic() + self._timeout)
                self._forget_snapshot()
                self._snapshot = held = fresh
            return answer(held, statement, values)


class Connecting(Generic[R]):
    """What `connect` returns: await it, or enter it to have the connection closed at the end."""

    def __init__(self, options: Options) -> None:
        self._connection: AsyncConnection[R] = AsyncConnection(options)

    def __await__(self) -> Generator[Any, Any, AsyncConnection[R]]:
        return self._connection.open().__await__()

    async def __aenter__(self) -> AsyncConnection[R]:
        return await self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._connection.__aexit__(kind, error, traceback)
        finally:
            await self._connection.close()


@overload
def connect(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    *,
    row_factory: RowFactory[R],
    **options: object,
) -> Connecting[R]: ...
@overload
def connect(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    *,
    row_factory: None = None,
    **options: object,
) -> Connecting[tuple[Any, ...]]: ...
def connect(
    target: str | Iterable[str] | Options | None = None,
    database: str | None = None,
    **options: object,
) -> Connecting[Any]:
    """Connect to the leader of the cluster that `target` names; see `dqlite_dbapi.connect`.

    `await connect(...)` gives the connection; `async with connect(...) as connection:` commits (or
    rolls back after an exception) and closes it at the end.
    """
    return Connecting(parse(target, database, **options))
