"""Writers whose every row is accounted for: acknowledged ones, refused ones, and when."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import dqlite_dbapi
import dqlite_dbapi.aio
from dqlite_dbapi import Connection
from dqlite_dbapi import retry as sync_retry
from dqlite_dbapi.aio import retry as aio_retry
from tests.faults.matrix.history import longest_gaps

TABLE = "CREATE TABLE ledger (writer INTEGER, number INTEGER)"
INSERT = "INSERT INTO ledger VALUES (?, ?)"
BULK = "CREATE TABLE bulk (writer INTEGER PRIMARY KEY, value)"
OVERWRITE = "INSERT OR REPLACE INTO bulk VALUES (?, randomblob(?))"


class Ledger:
    """What `writers` wrote into one database until `stop` was set.

    `bulk` bytes are overwritten in the transaction of each row, so that the log grows faster.
    """

    def __init__(
        self, addresses: list[str], database: str, writers: int, bulk: int = 0, **options: object
    ) -> None:
        self.acknowledged: list[tuple[float, tuple[int, int]]] = []
        self.errors: list[BaseException] = []
        self.retries: Counter[str] = Counter()
        self.stop = threading.Event()
        self._target = (addresses, database)
        self._options = options
        self._writers = writers
        self._bulk = bulk
        self._threads: list[threading.Thread] = []

    def start(self, driver: str) -> None:
        """Make the table and start the writers: threads of `sync`, or tasks of `aio`."""
        with closing(
            dqlite_dbapi.connect(*self._target, **{**self._options, "autocommit": True})
        ) as connection:
            connection.execute(TABLE)
            connection.execute(BULK)
        if driver == "aio":
            jobs = [threading.Thread(target=lambda: asyncio.run(self._all_tasks()))]
        else:
            jobs = [threading.Thread(target=self._write, args=(n,)) for n in range(self._writers)]
        self._threads = jobs
        for thread in jobs:
            thread.start()

    def join(self) -> None:
        """Stop the writers and wait for them."""
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _told(self, error: dqlite_dbapi.Error, _failures: int) -> None:
        self.retries[type(error).__name__] += 1

    def _write(self, writer: int) -> None:
        connection = dqlite_dbapi.connect(*self._target, **self._options)
        number = 0
        while not self.stop.is_set():
            number += 1
            row = (writer, number)
            try:
                sync_retry.run_transaction(
                    connection,
                    lambda db, row=row: self._insert(db, row),  # type: ignore[misc]
                    on_retry=self._told,
                )
            except Exception as error:
                self.errors.append(error)
            else:
                self.acknowledged.append((time.monotonic(), row))
        connection.close()

    def _insert(self, connection: Connection[Any], row: tuple[int, int]) -> None:
        if self._bulk:
            connection.execute(OVERWRITE, (row[0], self._bulk))
        connection.execute(INSERT, row)

    async def _all_tasks(self) -> None:
        await asyncio.gather(*[self._write_aio(n) for n in range(self._writers)])

    async def _write_aio(self, writer: int) -> None:
        connection = await dqlite_dbapi.aio.connect(*self._target, **self._options)
        number = 0
        while not self.stop.is_set():
            number += 1
            row = (writer, number)
            try:
                await aio_retry.run_transaction(
                    connection,
                    lambda db, row=row: db.execute(INSERT, row),  # type: ignore[misc]
                    on_retry=self._told,
                )
            except Exception as error:
                self.errors.append(error)
            else:
                self.acknowledged.append((time.monotonic(), row))
        await connection.close()

    def wait_for_more(self, count: int, timeout: float = 60.0) -> None:
        """Wait until that many further rows were acknowledged; AssertionError if it takes long."""
        goal = len(self.acknowledged) + count
        deadline = time.monotonic() + timeout
        while len(self.acknowledged) < goal:
            assert time.monotonic() < deadline, f"no progress; errors: {self.errors}"
            time.sleep(0.005)

    def gaps(self, moments: list[float]) -> list[float]:
        """Longest time without an acknowledged row from each moment to the next one, in seconds."""
        return longest_gaps((when for when, _ in self.acknowledged), moments)

    def verdict(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Rows that were acknowledged and are not there, and rows that are there more than once."""
        with closing(dqlite_dbapi.connect(*self._target, **self._options)) as connection:
            found = Counter(connection.execute("SELECT writer, number FROM ledger").fetchall())
        acknowledged = {row for _, row in self.acknowledged}
        lost = sorted(acknowledged - found.keys())
        return lost, sorted(row for row, count in found.items() if count > 1)

    def report(self, moments: list[float]) -> str:
        """Rows, errors, and the gap after each moment."""
        lost, doubled = self.verdict()
        return (
            f"{len(self.acknowledged)} rows, {len(lost)} lost, {len(doubled)} duplicated,"
            f" {len(self.errors)} errors, functions run again: {self.retries.total()};"
            f" gap between rows: {figures(self.gaps(moments))}"
        )


def figures(seconds: Iterable[float]) -> str:
    """Median and maximum."""
    values = list(seconds)
    return f"median {statistics.median(values):.2f} s, max {max(values):.2f} s of {len(values)}"
