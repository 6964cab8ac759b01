"""What is measured. A case yields `Sample`s; contestants take turns inside one run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import dqlite_dbapi
from benchmarks.raw import RawConnection
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import encode
from dqlite_node import LocalCluster


class Sample(NamedTuple):
    """One duration in seconds of one contestant in one case."""

    case: str
    contestant: str
    seconds: float


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def queries(cluster: LocalCluster, rounds: int) -> Iterator[Sample]:
    """SELECTs of one and of 1,000 rows: raw bytes of the same reply against the driver."""
    with dqlite_dbapi.connect(cluster.addresses, "queries") as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        names = [(f"item number {number}",) for number in range(1000)]
        cursor.executemany("INSERT INTO item (name) VALUES (?)", names)
        connection.commit()
        raw = RawConnection(connection.server.address, "queries")
        for case, sql in (
            ("SELECT 1", "SELECT 1"),
            ("SELECT of 1,000 x 2", "SELECT id, name FROM item"),
        ):
            message = encode(Request.QUERY_SQL, 0, sql, ())
            for _ in range(rounds):
                yield Sample(case, "raw bytes", timed(lambda m=message: raw.query(m)))
                yield Sample(case, "driver", timed(lambda s=sql: cursor.execute(s).fetchall()))
        raw.close()
    connection.close()


class InsertLoad:
    """Clients on threads, each with a database of its own, that insert one row a transaction."""

    def __init__(self, cluster: LocalCluster, contestant: str, clients: int) -> None:
        self.contestant = contestant
        self._connections = [
            dqlite_dbapi.connect(cluster.addresses, f"load{number}", autocommit=True)
            for number in range(clients)
        ]
        for connection in self._connections:
            connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")

    def run(self, inserts: int) -> list[float]:
        """Let every client insert at once; returns the seconds of every insert."""
        found: list[list[float]] = [[] for _ in self._connections]
        threads = [
            threading.Thread(target=self._client, args=(connection, inserts, seconds))
            for connection, seconds in zip(self._connections, found, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [each for seconds in found for each in seconds]

    @staticmethod
    def _client(connection: dqlite_dbapi.Connection, inserts: int, seconds: list[float]) -> None:
        cursor = connection.cursor()
        for _ in range(inserts):
            seconds.append(timed(lambda: cursor.execute("INSERT INTO item (name) VALUES ('x')")))

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()


def inserts(
    ours: LocalCluster, theirs: LocalCluster, rounds: int, clients: int = 8
) -> Iterator[Sample]:
    """Autocommit INSERTs on three members, with our connect callback and with libdqlite's TCP."""
    case = f"INSERT, 3 members, {clients} clients"
    loads = [
        InsertLoad(ours, "our connect callback", clients),
        InsertLoad(theirs, "libdqlite's own TCP", clients),
    ]
    for _ in range(rounds):
        for load in loads:
            for seconds in load.run(inserts=100):
                yield Sample(case, load.contestant, seconds)
    for load in loads:
        load.close()
