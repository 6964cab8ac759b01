"""Asyncio clients whose calls are cancelled at random moments, under the faults of a run."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from dqlite_dbapi import CommitUnknown, Error, aio
from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.sets import check_sets
from tests.faults.matrix.history import FAIL, OK, UNKNOWN, Operation
from tests.faults.matrix.workloads.base import GRACE, REST, Workload
from tests.faults.matrix.workloads.clients import PATIENCE

INSERT = "INSERT INTO elements VALUES (?, ?)"
CANCELLED = 0.5  #: share of calls that are cancelled, if they last long enough
TYPICAL = 0.01  #: seconds that a call takes, until it is known better


class _Call:
    """One row to insert in one of three ways; `is_deciding` when it may have become durable."""

    def __init__(self, connection: Any, row: tuple[int, int]) -> None:
        self.row = row
        self.is_deciding = False
        self._connection = connection

    async def autocommit(self) -> None:
        self.is_deciding = True
        await self._connection.execute(INSERT, self.row)

    async def explicit(self) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")
        await self._connection.execute(INSERT, self.row)
        self.is_deciding = True
        await self._connection.commit()

    async def exactly_once(self) -> None:
        await aio.run_transaction(
            self._connection, lambda db: db.execute(INSERT, self.row), deadline=PATIENCE
        )

    def outcome(self, error: BaseException | None) -> str:
        """What is known of the row, before a token is asked for."""
        if error is None:
            return OK
        if isinstance(error, Error):
            return UNKNOWN if error.is_ambiguous else FAIL
        is_unknown = self.is_deciding or isinstance(error.__cause__, CommitUnknown)
        return UNKNOWN if is_unknown else FAIL


class CancelWorkload(Workload):
    """An acknowledged row is there once, a cancelled one at most once; connections stay right."""

    name = "cancel"
    schema = ("CREATE TABLE elements (process INTEGER, number INTEGER)",)

    def start(self) -> None:
        """Start the clients, as tasks of one event loop in a thread."""
        thread = threading.Thread(target=self._run, name="the event loop", daemon=True)
        self._threads.append(thread)
        thread.start()

    def judge(self) -> Findings:
        """Compare with the rows that are stored."""
        rows = self.stored("SELECT process, number FROM elements")
        return check_sets(self.history.operations, rows)

    def _run(self) -> None:
        with self.observed("the event loop"):
            asyncio.run(self._all())

    async def _all(self) -> None:
        def complain(_: object, context: dict[str, Any]) -> None:
            self.surprises.append(f"event loop: {context}")

        asyncio.get_running_loop().set_exception_handler(complain)
        await asyncio.gather(*[self._client(number) for number in range(self.clients)])

    async def _client(self, process: int) -> None:
        chance, connection, typical = self.randoms[process], None, TYPICAL
        while not self.stopped.is_set():
            try:
                if connection is None:
                    target = (self.target.addresses, self.target.database)
                    connection = await aio.connect(*target, autocommit=True, **self.target.patient)
                seconds = await self._one(process, connection, chance, typical)
                typical += (min(seconds, 1.0) - typical) / 10
                await self._ask(process, connection)
            except Error:
                await asyncio.sleep(REST)
        if connection is not None:
            with suppress(Error):
                await connection.close()

    async def _one(
        self, process: int, connection: Any, chance: random.Random, typical: float
    ) -> float:
        """Insert one row, or be cancelled meanwhile; returns the seconds it took."""
        call = _Call(connection, (process, self.next_number(process)))
        way = chance.choice((call.autocommit, call.explicit, call.exactly_once))
        started = time.monotonic()
        task = asyncio.ensure_future(_caught(way))
        if chance.random() < CANCELLED:
            timer = asyncio.get_running_loop().call_later(
                chance.uniform(0, 1.5 * typical), task.cancel
            )
        else:
            timer = None
        await asyncio.wait({task})
        if timer is not None:
            timer.cancel()
        error = asyncio.CancelledError() if task.cancelled() else task.result()
        outcome = await self._settled(call, connection, error)
        ended = time.monotonic()
        name = type(error).__name__ if error is not None else ""
        value = list(call.row)
        self.history.record(Operation(process, "add", value, started, ended, outcome, name))
        if isinstance(error, Exception) and not isinstance(error, Error):
            self.surprises.append(f"{way.__name__} by client {process}: {error!r}")
        return ended - started

    async def _settled(self, call: _Call, connection: Any, error: BaseException | None) -> str:
        """The outcome; a token that came with the error is asked for."""
        unknown = error if isinstance(error, CommitUnknown) else getattr(error, "__cause__", None)
        if not isinstance(unknown, CommitUnknown) or unknown.token is None:
            return call.outcome(error)
        try:
            applied = await aio.was_applied(connection, unknown.token, deadline=PATIENCE)
        except Error:
            return UNKNOWN
        return OK if applied else FAIL

    async def _ask(self, process: int, connection: Any) -> None:
        """Whatever was cancelled, the next answer belongs to the next question."""
        number = self.next_number(process)

        async def question() -> Any:
            await connection.rollback()
            return await (await connection.execute("SELECT ?", (number,))).fetchall()

        found = await asyncio.wait_for(question(), GRACE)
        if found != [(number,)] or connection.in_transaction:
            self.surprises.append(f"client {process} asked for {number} and got {found}")


async def _caught(way: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Await a call and return what it raised; the cancellation ends here."""
    try:
        await way()
    except (Exception, asyncio.CancelledError) as error:
        return error
    return None
