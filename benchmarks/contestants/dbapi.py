"""Contestants with a blocking PEP 249 interface. Usage: dbapi.py driver|peer|sqlite3 ADDRESSES DB.

All three run the very same code; they differ in how they connect and begin a transaction.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import harness
from harness import Reply, once, repeat


def connector(kind: str, addresses: list[str], database: str) -> Callable[..., Any]:
    """A function that opens an autocommit connection, by default to `database`."""
    if kind == "driver":
        import dqlite_dbapi

        return lambda name=database: dqlite_dbapi.connect(addresses, name, autocommit=True)
    if kind == "peer":
        import dqlitedbapi

        return lambda name=database: dqlitedbapi.connect(
            addresses[0], database=name, check_same_thread=False, max_total_rows=None
        )
    import sqlite3

    return lambda name="": sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False
    )


class Contestant:
    """One open connection, and an operation a method."""

    def __init__(self, kind: str, addresses: list[str], database: str) -> None:
        self._connect = connector(kind, addresses, database)
        self._database = database
        self._connection = self._connect()
        self._cursor = self._connection.cursor()
        self._blob = b""
        self._is_local = kind == "sqlite3"

    def prepare(self, n: int, m: int) -> Reply:
        """Make the tables where they are this process's own: `n` rows, a blob of `m` bytes."""
        for sql in harness.tables(n, m) if self._is_local else ():
            self._cursor.execute(sql)
        return {}

    def _connect_once(self) -> None:
        connection = self._connect()
        connection.cursor().execute("SELECT 1").fetchall()
        connection.close()

    def connect(self, n: int, _: int) -> Reply:
        """Open, SELECT 1, close."""
        return repeat(self._connect_once, n)

    def select1(self, n: int, _: int) -> Reply:
        """SELECT 1, all rows fetched."""
        cursor = self._cursor
        return repeat(lambda: cursor.execute("SELECT 1").fetchall(), n)

    def insert(self, n: int, _: int) -> Reply:
        """One row, in autocommit."""
        cursor, row = self._cursor, ("item number 1",)
        return repeat(lambda: cursor.execute(harness.INSERT, row), n)

    def _transaction(self, rows: list[Any]) -> None:
        self._cursor.execute("BEGIN")
        self._cursor.executemany(harness.MANY, rows)
        self._cursor.execute("COMMIT")

    def many(self, n: int, _: int) -> Reply:
        """Executemany of `n` rows between BEGIN and COMMIT."""
        rows = harness.many_rows(n)
        return once(lambda: self._transaction(rows), n)

    def _fetch(self, n: int) -> list[Any]:
        rows: list[Any] = self._cursor.execute(harness.FETCH, (n,)).fetchall()
        assert len(rows) == n
        return rows

    def fetch(self, n: int, m: int) -> Reply:
        """Fetch all of `n` rows of 4 columns, `m` times."""
        return once(lambda: self._fetch(n), n, m or 1)

    def memory(self, n: int, _: int) -> Reply:
        """Peak memory of the same, in sizes of the result."""
        return harness.memory(lambda: self._fetch(n))

    def stream(self, n: int, _: int) -> Reply:
        """Iterate over `n` computed rows of 2 columns and keep none; `peak` is the growth."""
        growth = harness.Growth()

        def walk() -> None:
            sql = (
                f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {n}) "
                "SELECT i, 'item number ' || i FROM n"
            )
            assert sum(1 for _ in self._cursor.execute(sql)) == n

        return {**once(walk, n), "peak": growth.peak()}

    def blob_read(self, n: int, _: int) -> Reply:
        """Read a blob of `n` bytes."""
        return once(lambda: self._cursor.execute(harness.BLOB_READ).fetchall(), n)

    def blob_write(self, n: int, _: int) -> Reply:
        """Store a blob of `n` bytes in autocommit."""
        self._blob = self._blob or bytes(n)
        return once(lambda: self._cursor.execute(harness.BLOB_WRITE, (self._blob,)), n)

    def clients(self, n: int, k: int) -> Reply:
        """`k` connections on `k` threads, each SELECT 1 `n` times."""
        names = [self._database] * k
        return self._threads(names, lambda cursor: cursor.execute("SELECT 1").fetchall(), n)

    def inserts(self, n: int, k: int) -> Reply:
        """`k` threads insert `n` rows each in autocommit, into a database each; laps of all."""
        row = ("item number 1",)
        names = [f"{i}{self._database}" for i in range(k)]
        for name in names:
            connection = self._connect(name)
            connection.cursor().execute(
                "CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, name TEXT)"
            )
            connection.close()
        return self._threads(names, lambda cursor: cursor.execute(harness.INSERT, row), n)

    def _threads(self, names: list[str], action: Callable[[Any], object], n: int) -> Reply:
        barrier = threading.Barrier(len(names) + 1)
        laps: list[float] = []

        def client(name: str) -> None:
            connection = self._connect(name)
            cursor = connection.cursor()
            cursor.execute("SELECT 1").fetchall()
            barrier.wait()
            laps.extend(repeat(lambda: action(cursor), n)["laps"])
            barrier.wait()
            connection.close()

        threads = [threading.Thread(target=client, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        barrier.wait()
        cpu, start = harness.cpu_seconds(), time.perf_counter()
        barrier.wait()
        wall = time.perf_counter() - start
        for thread in threads:
            thread.join()
        return {
            "wall": wall,
            "cpu": harness.cpu_seconds() - cpu,
            "calls": len(laps),
            "clients": laps,
        }


if __name__ == "__main__":
    harness.serve(Contestant(sys.argv[1], sys.argv[2].split(","), sys.argv[3]))
