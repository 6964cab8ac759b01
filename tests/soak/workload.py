"""What runs during a soak: every way into the driver, short-lived connections, cancellations."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

import dqlite_dbapi
from dqlite_dbapi import Error
from dqlite_dbapi.aio import AsyncConnectionPool, connect
from dqlite_node.pytest_plugin import url_of
from tests.soak.figures import Meter

DATABASE = "soak"
KEPT = 2000  #: rows that stay in the table, so that it does not grow either
_PAUSE = 0.01
_TASKS = 6
#: What is cancelled has an answer in one part: a client that goes away between two of them costs a
#: member of 1.18.7 a connection for ever (hazard H24).
_SHORT = ("UPDATE t SET value = 'z' WHERE id = 1", ())


def prepare(addresses: list[str]) -> None:
    """Make the table."""
    with dqlite_dbapi.connect(addresses, DATABASE) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT, extra BLOB)")
        connection.commit()
    connection.close()


def _statement() -> tuple[str, tuple[Any, ...]]:
    blob = random.randbytes(random.choice((10, 1000, 20_000)))
    return random.choice(
        [
            ("INSERT INTO t (value, extra) VALUES (?, ?)", ("x" * 50, blob)),
            ("UPDATE t SET value = ? WHERE id = ?", ("y", random.randrange(1, KEPT))),
            ("SELECT id, value FROM t ORDER BY id DESC LIMIT 50", ()),
            ("SELECT id, value, extra FROM t LIMIT 300", ()),
            ("SELECT 1", ()),
            ("DELETE FROM t WHERE id <= (SELECT max(id) FROM t) - ?", (KEPT,)),
            ("SELECT nothing FROM t", ()),
        ]
    )


class Load:
    """Threads that work until `stop`; each operation is noted in the meter."""

    def __init__(self, addresses: list[str], meter: Meter) -> None:
        self._addresses = addresses
        self._meter = meter
        self._over = threading.Event()
        self._pool = dqlite_dbapi.ConnectionPool(
            addresses, DATABASE, min_size=1, max_size=5, max_lifetime=20.0
        )
        url = url_of(addresses, DATABASE)
        self._engine = create_engine(url, pool_size=2, max_overflow=1)
        jobs = [self._pooled] * 6 + [self._fresh, self._orm, self._orm, self._clients, self._loop]
        self._threads = [threading.Thread(target=job) for job in jobs]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End them and close what they shared."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._pool.close()
        self._engine.dispose()

    def _repeat(self, job: Callable[[], object]) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            try:
                job()
            except (Error, SQLAlchemyError) as error:
                self._meter.failed(error)
            else:
                self._meter.done(started)
            time.sleep(random.random() * _PAUSE)

    def _pooled(self) -> None:
        def job() -> None:
            with self._pool.connection() as connection:
                cursor = connection.execute(*_statement())
                if cursor.description is not None:
                    cursor.fetchall()
                if random.random() < 0.02:
                    connection.close()

        self._repeat(job)

    def _fresh(self) -> None:
        """A new connection each time, closed with a half-read result, or forgotten without one."""

        def job() -> None:
            connection = dqlite_dbapi.connect(self._addresses, DATABASE, timeout=5.0)
            if random.random() < 0.1:
                connection.execute("SELECT 1").fetchone()
                return
            connection.execute("SELECT id, value, extra FROM t LIMIT 500").fetchone()
            connection.close()

        self._repeat(job)

    def _orm(self) -> None:
        def job() -> None:
            with self._engine.begin() as connection:
                connection.execute(text("INSERT INTO t (value) VALUES (:v)"), {"v": "orm"})
                connection.execute(text("SELECT count(*) FROM t")).scalar_one()

        self._repeat(job)

    def _clients(self) -> None:
        """Health checks, as a monitor makes them."""

        def job() -> None:
            with dqlite_dbapi.Client(self._addresses, timeout=5.0) as client:
                client.health()
            time.sleep(0.2)

        self._repeat(job)

    def _loop(self) -> None:
        asyncio.run(self._tasks())

    async def _tasks(self) -> None:
        async with AsyncConnectionPool(
            self._addresses, DATABASE, min_size=1, max_size=3, max_lifetime=20.0
        ) as pool:
            await asyncio.gather(*(self._task(pool) for _ in range(_TASKS)))

    async def _task(self, pool: AsyncConnectionPool[Any]) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            is_cancelled = random.random() < 0.25
            step = self._step(pool, *(_SHORT if is_cancelled else _statement()))
            try:
                await asyncio.wait_for(step, 0.003 if is_cancelled else 5.0)
            except (Error, asyncio.TimeoutError) as error:
                self._meter.failed(error)
            else:
                self._meter.done(started)
            await asyncio.sleep(random.random() * _PAUSE)

    async def _step(
        self, pool: AsyncConnectionPool[Any], sql: str, values: tuple[Any, ...]
    ) -> None:
        if random.random() < 0.1:
            connection = await connect(self._addresses, DATABASE, timeout=5.0)
            try:
                await connection.execute("SELECT 1")
            finally:
                await connection.close()
            return
        async with pool.connection() as connection:
            cursor = await connection.execute(sql, values)
            if cursor.description is not None:
                await cursor.fetchall()
