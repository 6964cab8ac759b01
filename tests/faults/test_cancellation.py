"""Calls interrupted at random moments: afterwards a connection answers right, and rows are kept.

Each trial runs one operation, written once for both drivers, and interrupts it somewhere; now and
then somebody else uses the same connection meanwhile. Then `rollback()` and a query with a value of
its own must work at once. In the end the table holds what was acknowledged, nothing of what failed
for certain, and unknown work wholly or not at all. `DQLITE_CANCEL_TRIALS` sets the number of
operations of each driver that are to be hit, `DQLITE_CANCEL_SEED` repeats the choices of a run.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from dqlite_dbapi import aio, connect
from dqlite_node import LocalCluster
from tests.faults.fuzz import OPERATIONS, Fuzz, Steps

TRIALS = int(os.environ.get("DQLITE_CANCEL_TRIALS", "1000"))
PATIENCE = 20.0  #: seconds for a call that nobody interrupts
SHORT = 0.01  #: seconds that a call has when the member is frozen
_SIGNAL = signal.SIGUSR1


@contextmanager
def no_leaks() -> Iterator[None]:
    """Descriptors and threads must be back to what they were, soon."""

    def used() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    before = used()
    yield
    give_up = time.monotonic() + 10
    while used() > before and time.monotonic() < give_up:
        time.sleep(0.05)
    assert used() <= before, "descriptors or threads were leaked"


@pytest.fixture
def table(single: LocalCluster, database: str) -> str:
    """A database with one table that would show a row applied twice."""
    with closing(connect(single.addresses, database, autocommit=True)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
    return database


# --- sync -----------------------------------------------------------------------------------------


def _raise(*_: object) -> None:
    raise KeyboardInterrupt


def run(steps: Steps) -> None:
    value = None
    with suppress(StopIteration):
        while True:
            value = steps.send(value)


def cancelled(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Cancel from another thread."""
    timer = threading.Timer(delay, connection.cancel)
    timer.start()
    try:
        run(steps)
    finally:
        timer.cancel()
        timer.join()


def late(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Let the timeout pass."""
    connection.timeout = SHORT
    try:
        with fuzz.frozen_after(delay):
            run(steps)
    finally:
        connection.timeout = PATIENCE


def signalled(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Ctrl-C, as a signal of another number."""
    timer = threading.Timer(delay, signal.pthread_kill, (threading.get_ident(), _SIGNAL))
    timer.start()
    try:
        run(steps)
    finally:
        with suppress(KeyboardInterrupt):
            timer.join()


def question(connection: Any, number: int) -> None:
    assert connection.execute("SELECT ?", (number,)).fetchall() == [(number,)]


def question_afterwards(connection: Any, number: int) -> None:
    connection.rollback()
    question(connection, number)
    assert not connection.in_transaction


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Ctrl-C just behind socket()
def test_sync_connections_survive_interruptions(single: LocalCluster, table: str) -> None:
    fuzz = Fuzz("sync", table, single)
    start = time.monotonic()

    def another(**options: Any) -> Any:
        return connect(single.addresses, table, **{"autocommit": True, **options})

    previous = signal.signal(_SIGNAL, _raise)
    with no_leaks(), ThreadPoolExecutor(1) as other_thread:
        pair = [another(timeout=PATIENCE, autocommit=flag) for flag in (True, False)]
        for number in itertools.count(1):
            connection, way = random.choice(pair), random.choice((cancelled, late, signalled))
            operation, job = random.choice(OPERATIONS), fuzz.job(another)
            neighbour, error = None, None
            if random.random() < 0.2:
                neighbour = other_thread.submit(question, connection, -number)
            began = time.monotonic()
            try:
                way(fuzz, connection, operation(connection, job), fuzz.delay(operation.__name__))
                fuzz.learn(operation.__name__, time.monotonic() - began)
            except (Exception, KeyboardInterrupt) as raised:
                error = raised.with_traceback(None)
            fuzz.note(way.__name__, job, error)
            for made in job.made:
                made.close()
            if neighbour is not None:
                fuzz.note_neighbour(neighbour.exception(PATIENCE))
            other_thread.submit(question_afterwards, connection, number).result(PATIENCE)
            if fuzz.hits >= TRIALS:
                break
        for connection in pair:
            connection.close()
    signal.signal(_SIGNAL, previous)
    fuzz.show(time.monotonic() - start)
    fuzz.check_rows()


# --- asyncio --------------------------------------------------------------------------------------


async def run_async(steps: Steps) -> None:
    value = None
    with suppress(StopIteration):
        while True:
            value = steps.send(value)
            if inspect.isawaitable(value):
                value = await value


async def task_cancelled(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Cancel the task."""
    task = asyncio.ensure_future(run_async(steps))
    timer = asyncio.get_running_loop().call_later(delay, task.cancel)
    try:
        await task
    finally:
        timer.cancel()


async def waited_for(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Wait no longer than `delay`."""
    await asyncio.wait_for(run_async(steps), delay)


async def connection_cancelled(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Cancel by the connection's own method."""
    timer = asyncio.get_running_loop().call_later(delay, connection.cancel)
    try:
        await run_async(steps)
    finally:
        timer.cancel()


async def late_async(fuzz: Fuzz, connection: Any, steps: Steps, delay: float) -> None:
    """Let the timeout pass."""
    connection.timeout = SHORT
    try:
        with fuzz.frozen_after(delay):
            await run_async(steps)
    finally:
        connection.timeout = PATIENCE


async def question_async(connection: Any, number: int) -> None:
    cursor = await connection.execute("SELECT ?", (number,))
    assert await cursor.fetchall() == [(number,)]


async def fuzz_async(fuzz: Fuzz) -> None:
    ways = (task_cancelled, waited_for, connection_cancelled, late_async)
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    def another(**options: Any) -> Any:
        return aio.connect(fuzz.addresses, fuzz.database, **{"autocommit": True, **options})

    pair = [await another(timeout=PATIENCE, autocommit=flag) for flag in (True, False)]
    for number in itertools.count(1):
        connection, way = random.choice(pair), random.choice(ways)
        operation, job = random.choice(OPERATIONS), fuzz.job(another)
        neighbour, error = None, None
        if random.random() < 0.2:
            neighbour = asyncio.ensure_future(question_async(connection, -number))
        began = time.monotonic()
        try:
            await way(fuzz, connection, operation(connection, job), fuzz.delay(operation.__name__))
            fuzz.learn(operation.__name__, time.monotonic() - began)
        except (Exception, asyncio.CancelledError) as raised:
            error = raised.with_traceback(None)
        fuzz.note(way.__name__, job, error)
        for made in job.made:
            await made.close()
        if neighbour is not None:
            await asyncio.wait({neighbour})
            fuzz.note_neighbour(neighbour.exception())
        await connection.rollback()
        await question_async(connection, number)
        assert not connection.in_transaction
        if fuzz.hits >= TRIALS:
            break
    for connection in pair:
        await connection.close()
    await asyncio.sleep(0.1)
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "tasks were leaked"
    assert not complaints, complaints


@pytest.mark.timeout(600)
def test_async_connections_survive_interruptions(single: LocalCluster, table: str) -> None:
    fuzz = Fuzz("asyncio", table, single)
    start = time.monotonic()
    with no_leaks():
        asyncio.run(fuzz_async(fuzz))
    fuzz.show(time.monotonic() - start)
    fuzz.check_rows()
