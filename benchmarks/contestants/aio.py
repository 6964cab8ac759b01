"""Contestants with an asyncio interface. Usage: aio.py driver|peer ADDRESSES DATABASE."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import harness
from harness import Reply


def connector(kind: str, addresses: list[str], database: str) -> Callable[[], Awaitable[Any]]:
    """A coroutine function that opens an autocommit connection."""
    if kind == "driver":
        from dqlite_dbapi import aio

        async def ours() -> Any:
            return await aio.connect(addresses, database, autocommit=True)

        return ours

    from dqlitedbapi import aio as theirs

    return lambda: theirs.aconnect(addresses[0], database=database, max_total_rows=None)


async def repeat(action: Callable[[], Awaitable[object]], n: int) -> Reply:
    """`harness.repeat` for a coroutine function."""
    clock = time.perf_counter
    laps = []
    cpu = harness.cpu_seconds()
    for _ in range(n):
        start = clock()
        await action()
        laps.append(clock() - start)
    return {"wall": sum(laps), "cpu": harness.cpu_seconds() - cpu, "calls": n, "laps": laps}


class Contestant:
    """One open connection on a loop of its own, and an operation a method."""

    def __init__(self, kind: str, addresses: list[str], database: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connect = connector(kind, addresses, database)
        self._connection = self._wait(self._connect())
        self._cursor = self._connection.cursor()

    def _wait(self, awaitable: Awaitable[Any]) -> Any:
        async def main() -> Any:
            return await awaitable

        return self._loop.run_until_complete(main())

    async def _query(self, cursor: Any, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        await cursor.execute(sql, parameters)
        rows: list[Any] = await cursor.fetchall()
        return rows

    async def _connect_once(self) -> None:
        connection = await self._connect()
        await self._query(connection.cursor(), "SELECT 1")
        await connection.close()

    def connect(self, n: int, _: int) -> Reply:
        """Open, SELECT 1, close."""
        reply: Reply = self._wait(repeat(self._connect_once, n))
        return reply

    def select1(self, n: int, _: int) -> Reply:
        """SELECT 1, all rows fetched."""
        reply: Reply = self._wait(repeat(lambda: self._query(self._cursor, "SELECT 1"), n))
        return reply

    def insert(self, n: int, _: int) -> Reply:
        """One row, in autocommit."""
        row = ("item number 1",)
        reply: Reply = self._wait(repeat(lambda: self._cursor.execute(harness.INSERT, row), n))
        return reply

    async def _transaction(self, rows: list[Any]) -> None:
        await self._cursor.execute("BEGIN")
        await self._cursor.executemany(harness.MANY, rows)
        await self._cursor.execute("COMMIT")

    def many(self, n: int, _: int) -> Reply:
        """Executemany of `n` rows between BEGIN and COMMIT."""
        rows = harness.many_rows(n)
        return harness.once(lambda: self._wait(self._transaction(rows)), n)

    def fetch(self, n: int, _: int) -> Reply:
        """Fetch all of `n` rows of 4 columns."""
        query = self._query
        return harness.once(lambda: self._wait(query(self._cursor, harness.FETCH, (n,))), n)

    def memory(self, n: int, _: int) -> Reply:
        """Peak memory of the same, in sizes of the result."""
        return harness.memory(lambda: self._wait(self._query(self._cursor, harness.FETCH, (n,))))

    def clients(self, n: int, k: int) -> Reply:
        """`k` connections on one loop, each SELECT 1 `n` times in a task."""
        reply: Reply = self._wait(self._tasks(n, k))
        return reply

    async def _tasks(self, n: int, k: int) -> Reply:
        connections = [await self._connect() for _ in range(k)]
        cursors = [connection.cursor() for connection in connections]
        for cursor in cursors:
            await self._query(cursor, "SELECT 1")

        async def client(cursor: Any) -> None:
            for _ in range(n):
                await self._query(cursor, "SELECT 1")

        cpu, start = harness.cpu_seconds(), time.perf_counter()
        await asyncio.gather(*map(client, cursors))
        wall = time.perf_counter() - start
        cpu = harness.cpu_seconds() - cpu
        for connection in connections:
            await connection.close()
        return {"wall": wall, "cpu": cpu, "calls": n * k}


if __name__ == "__main__":
    harness.serve(Contestant(sys.argv[1], sys.argv[2].split(","), sys.argv[3]))
