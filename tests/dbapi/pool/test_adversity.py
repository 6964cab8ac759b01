"""Pools through Ctrl-C, cancellation, fork, garbage collection and the loss of the leader."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dqlite_dbapi import CommitUnknown, Error, InterfaceError
from dqlite_dbapi.aio.pool import AsyncConnectionPool
from dqlite_dbapi.pool import ConnectionPool
from dqlite_node import LocalCluster
from tests.support.pools import sockets, wait_until


def drop(pools):
    """Lose the last reference to pools."""
    pools.clear()
    gc.collect()


# --- threads --------------------------------------------------------------------------------------


def test_one_thread_and_only_while_there_is_something_to_do(single, database):
    before = set(threading.enumerate())
    pool = ConnectionPool(single.addresses, database, min_size=0, max_size=3, max_idle=0.1)
    assert set(threading.enumerate()) == before
    with pool.connection(), pool.connection():
        assert len(set(threading.enumerate()) - before) == 1
    wait_until(lambda: set(threading.enumerate()) == before)
    with pool.connection():
        pass
    pool.close()
    assert set(threading.enumerate()) == before


def test_a_pool_that_is_dropped_open_says_so(single, database):
    before = set(threading.enumerate())
    pools = [ConnectionPool(single.addresses, database, min_size=1)]
    pools[0].wait(10)
    with pytest.warns(ResourceWarning):
        drop(pools)
    wait_until(lambda: set(threading.enumerate()) == before)


def use_for_long(pool):
    with pool.connection(timeout=20) as connection:
        connection.execute("CREATE TABLE t (a)")
        time.sleep(20)


@pytest.mark.parametrize("where", ["in the block", "while waiting"])
def test_ctrl_c_returns_the_lease(single, database, where):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    send = (threading.main_thread().ident, signal.SIGUSR1)
    timer = threading.Timer(0.05, signal.pthread_kill, send)
    try:
        with ConnectionPool(single.addresses, database, min_size=1) as pool:
            pool.wait(10)
            lent = pool.getconn() if where == "while waiting" else None
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                use_for_long(pool)
            if lent is not None:
                pool.putconn(lent)
            with pool.connection(timeout=5) as connection:
                assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


FORKING = """
import os, sys
from dqlite_dbapi.errors import ConnectionLost
from dqlite_dbapi.pool import ConnectionPool

pool = ConnectionPool(sys.argv[1], sys.argv[2], min_size=2)
pool.wait()
with pool.connection() as mine:
    mine.execute("CREATE TABLE t (a)")
    child = os.fork()
    if child == 0:
        try:
            mine.execute("INSERT INTO t VALUES ('a child must not write here')")
        except ConnectionLost:
            mine.rollback()
        pool.putconn(mine)
        assert pool.get_stats()["pool_size"] == 0
        with pool.connection() as own:
            assert own.execute("SELECT 1").fetchone() == (1,)
        pool.wait()
        pool.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    mine.execute("INSERT INTO t VALUES (1)")
with pool.connection() as first, pool.connection() as second:
    assert first.execute("SELECT * FROM t").fetchall() == [(1,)]
    assert second.execute("SELECT * FROM t").fetchall() == [(1,)]
assert pool.get_stats()["connections_num"] == 2
pool.close()
"""

FORKING_WITH_ASYNCIO = """
import asyncio, os, sys
from dqlite_dbapi.aio.pool import AsyncConnectionPool

pool = AsyncConnectionPool(sys.argv[1], sys.argv[2], min_size=2)

async def use():
    await pool.wait()
    async with pool.connection() as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)

def in_child():
    assert pool.get_stats()["pool_size"] == 0
    asyncio.run(use())

async def main():
    await use()
    child = os.fork()
    if child == 0:
        asyncio._set_running_loop(None)
        in_child()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    await use()
    assert pool.get_stats()["connections_num"] == 2
    await pool.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("program", [FORKING, FORKING_WITH_ASYNCIO], ids=["sync", "aio"])
def test_a_forked_child_has_a_pool_of_its_own(single, database, program):
    ignored = ["-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *ignored, "-c", program, single.addresses[0], database]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- tasks ----------------------------------------------------------------------------------------


def test_cancelled_tasks_keep_no_lease(single, database):
    async def main():
        async with AsyncConnectionPool(single.addresses, database, min_size=1) as pool:
            await pool.wait(10)

            async def use():
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
                    await asyncio.sleep(20)

            tasks = [asyncio.create_task(use()) for _ in range(3)]
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            stats = pool.get_stats()
            assert (stats["requests_waiting"], stats["pool_available"]) == (0, 1)
            async with pool.connection(timeout=5) as connection:
                await connection.execute("SELECT 1")

    asyncio.run(main())


def test_cancelling_at_any_moment_loses_no_connection(single, database):
    async def use(pool):
        async with pool.connection() as connection:
            await connection.execute("INSERT INTO t VALUES (1)")

    async def main():
        async with AsyncConnectionPool(single.addresses, database, min_size=0, max_size=2) as pool:
            async with pool.connection() as connection:
                await connection.execute("CREATE TABLE t (a)")
            for number in range(60):
                tasks = [asyncio.create_task(use(pool)) for _ in range(3)]
                await asyncio.sleep(number * 0.00005)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            async with pool.connection(timeout=10), pool.connection(timeout=10):
                stats = pool.get_stats()
                assert (stats["pool_size"], stats["pool_available"]) == (2, 0)

    asyncio.run(main())


def test_closing_ends_every_task(single, database):
    async def main():
        async with AsyncConnectionPool(single.addresses, database, min_size=3):
            pass
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_one_pool_in_one_event_loop_after_the_other(single, database):
    pool = AsyncConnectionPool(single.addresses, database, min_size=1)

    async def use():
        async with pool, pool.connection() as connection:
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)

    asyncio.run(use())
    asyncio.run(use())


def test_two_event_loops_at_once_are_refused(single, database, loop_thread):
    pool = AsyncConnectionPool(single.addresses, database, min_size=1)
    loop_thread.run(pool.wait(10))
    with pytest.raises(InterfaceError):
        asyncio.run(pool.getconn())
    loop_thread.run(pool.close())


def test_an_asyncio_pool_that_is_dropped_open_closes_its_sockets(single, database):
    async def main():
        gc.collect()
        before = sockets()
        pools = [AsyncConnectionPool(single.addresses, database, min_size=2)]
        await pools[0].wait(10)
        with pytest.warns(ResourceWarning):
            drop(pools)
        await asyncio.sleep(0.05)
        assert sockets() <= before

    asyncio.run(main())


# --- failover -------------------------------------------------------------------------------------


def test_no_row_is_lost_or_doubled_when_the_leader_dies(new_pool):
    """Pooled writers with rows of their own, and the leader killed under them."""
    with LocalCluster(3) as victims:
        pool = new_pool(victims.addresses, min_size=2, max_size=4)
        with pool.connection() as connection:
            connection.execute("CREATE TABLE t (a)")
        acknowledged, unknown, failed, stop = [], [], [], threading.Event()

        def write(writer):
            number = 0
            while not stop.is_set():
                number += 1
                row = writer * 1_000_000 + number
                try:
                    with pool.connection() as connection:
                        connection.execute("INSERT INTO t VALUES (?)", (row,))
                except CommitUnknown:
                    unknown.append(row)
                except Error as error:
                    failed.append(error)
                else:
                    acknowledged.append(row)

        with ThreadPoolExecutor(6) as executor:
            writers = [executor.submit(write, writer) for writer in range(6)]
            try:
                wait_until(lambda: len(acknowledged) > 100)
                victims.kill(victims.leader_index())
                goal = len(acknowledged) + 200
                wait_until(lambda: len(acknowledged) > goal)
            finally:
                stop.set()
        for writer in writers:
            writer.result()
        assert [error for error in failed if not error.is_retryable] == []
        with pool.connection() as connection:
            rows = [row for (row,) in connection.execute("SELECT a FROM t")]
        assert len(rows) == len(set(rows))
        assert set(acknowledged) <= set(rows) <= set(acknowledged) | set(unknown)
        stats = pool.get_stats()
        assert stats["pool_available"] == stats["pool_size"] <= 4
