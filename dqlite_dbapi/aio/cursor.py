"""The asyncio cursor."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dqlite_dbapi._results import BaseCursor, Parameters

if TYPE_CHECKING:
    from dqlite_dbapi.aio.connection import AsyncConnection

R = TypeVar("R")


class AsyncCursor(BaseCursor, Generic[R]):
    """Executes statements on its connection and fetches their rows (PEP 249, with `await`)."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        super().__init__(connection)
        self._connection = connection

    @property
    def connection(self) -> AsyncConnection[Any]:
        """The connection that made this cursor."""
        return self._connection

    async def execute(
        self, sql: str, parameters: Parameters = (), /, *, consistency: str | None = None
    ) -> AsyncCursor[R]:
        """Run one statement; returns the cursor itself. See `dqlite_dbapi.Cursor.execute`."""
        statement, values = self._prepare(sql, parameters)
        connection = self._connection
        if consistency is None and statement.is_simple and not connection._is_special:
            self._accept(statement, await connection._quickly(statement, values))
        elif (consistency or connection._options.consistency) == "stale" and statement.is_read:
            self._accept(
                statement,
                await connection._stale(statement, self._base._adapters.adapt_all(values)),
            )
        else:
            flow = connection._perform(statement, values, consistency)
            self._accept(statement, await connection._run(flow))
        return self

    async def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> AsyncCursor[R]:
        """Run an INSERT, UPDATE or DELETE once for each item; `rowcount` is their sum.

        Items before one that fails stay in the transaction, as with `sqlite3`.
        """
        await self._connection._run(self._many(sql, parameters))
        return self

    async def executescript(self, script: str, /) -> AsyncCursor[R]:
        """Commit, then run the statements of `script` one by one (as `sqlite3`).

        None is begun for it: without BEGIN and COMMIT in it, each statement stands for itself.
        """
        self._require_open()
        self._forget()
        await self._connection._run(self._connection._script(script))
        return self

    async def fetchone(self) -> R | None:
        """The next row, or None behind the last one."""
        async for row in self:
            return row
        return None

    async def fetchmany(self, size: int | None = None) -> list[R]:
        """Up to `size` rows (default `arraysize`), fewer only at the end."""
        rows = self._require_rows()
        wanted = self.arraysize if size is None else size
        found: list[Any] = []
        while len(found) < wanted:
            if rows.is_waiting:
                await self._connection._advance(rows)
            taken = rows.take(wanted - len(found))
            if not taken:
                break
            found += self._made(taken)
        return found

    async def fetchall(self) -> list[R]:
        """All rows that were not fetched yet."""
        rows = self._rows
        if rows is None or self._closed or self._base._closed:
            rows = self._require_rows()
        if rows.more:
            await self._connection._advance(rows, to_end=True)
        return self._made(rows.take_all())

    async def scroll(self, value: int, mode: str = "relative") -> None:
        """Move to another row of the result (PEP 249): on, or back among the rows still held.

        `IndexError` outside of the result, `NotSupportedError` for rows no longer held.
        """
        rows = self._require_rows()
        distance = self._distance(rows, value, mode)
        if not rows.move(distance):
            if distance > 0 and rows.more:
                await self._connection._advance(rows, to_end=True)
            if distance < 0 or not rows.move(distance):
                raise self._out_of_range(rows, distance)

    async def close(self) -> None:
        """Give up the cursor and the rows that it has not fetched; may be repeated."""
        if not self._closed:
            self._closed = True
            if self._rows is not None and self._rows.more:
                await self._connection._give_up(self._rows)
            self._rows = None

    def __aiter__(self) -> AsyncCursor[R]:
        return self

    async def __anext__(self) -> R:
        rows = self._rows
        if rows is None or self._closed or self._base._closed:
            rows = self._require_rows()
        index = rows.index
        if index >= len(rows.rows):
            if rows.more:
                await self._connection._advance(rows)
            if not rows.is_filled:
                raise StopAsyncIteration
            index = rows.index
        rows.index = index + 1
        rows.given += 1
        row, convert = rows.rows[index], self._convert
        return row if convert is None else convert(row)  # type: ignore[return-value]

    async def __aenter__(self) -> AsyncCursor[R]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
