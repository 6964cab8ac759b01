"""`run_transaction` and `was_applied` on real members, sync and asyncio by one body."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import dqlite_dbapi
import dqlite_dbapi.aio
from dqlite_dbapi import Busy, BusySnapshot, CommitUnknown, IntegrityError, ProgrammingError
from dqlite_dbapi.aio import retry as aio_retry


@pytest.fixture
def connect(driver_open):
    return driver_open


@pytest.fixture
def connection(connect):
    connection = connect()
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
    connection.commit()
    return connection


@pytest.fixture
def spoiled(connection, connect, proxy):
    """A connection through the proxy."""
    return connect([proxy.address])


def insert(connection):
    return connection.execute("INSERT INTO t (value) VALUES ('x')").lastrowid


def count(connection, table="t"):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def left_by(connection):
    """Rows of transactions and of fences."""
    sql = "SELECT count(*) - count(fence), count(fence) FROM dqlite_transactions"
    return connection.execute(sql).fetchone()


# --- the answer to COMMIT is lost -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mishaps", "runs", "left"),
    [
        ([], 1, (1, 0)),
        (["answer"], 1, (1, 0)),
        (["request"], 2, (1, 1)),
        (["request", "answer"], 2, (1, 1)),
        (["request", "request"], 2, (1, 1)),
        (["request", "request", "answer", "answer"], 2, (1, 1)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_lost_answer_is_settled(driver, connection, spoiled, proxy, mishaps, runs, left):
    proxy.mishaps[:] = mishaps
    calls = []
    result = driver.run(spoiled, lambda db: calls.append(insert(db)) or calls[-1])
    assert (result, len(calls), count(connection), left_by(connection)) == (1, runs, 1, left)
    assert driver.run(spoiled, insert) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"autocommit": True},
        {"isolation_level": None},
        {"isolation_level": "EXCLUSIVE"},
        {"foreign_keys": True},
        {"foreign_keys": False},
        {"row_factory": sqlite3.Row},
        pytest.param({"row_factory": lambda cursor, row: 1 / 0}, id="row_factory that fails"),
        {"transaction_timeout": 5},
    ],
    ids=str,
)
def test_settling_does_not_depend_on_the_connections_settings(
    driver, connection, connect, proxy, options
):
    spoiled = connect([proxy.address], **options)
    proxy.mishaps[:] = ["answer", "request"]
    assert [driver.run(spoiled, insert) for _ in range(2)] == [1, 2]
    assert (count(connection), left_by(connection)) == (2, (2, 1))


@pytest.mark.parametrize(("mishap", "was_applied"), [("answer", True), ("request", False)])
def test_without_a_leader_the_token_says_it_later(
    driver, connection, connect, proxy, mishap, was_applied
):
    spoiled = connect([proxy.address], timeout=0.3)

    def cut(db):
        insert(db)
        proxy.is_cut = True

    proxy.mishaps[:] = [mishap]
    with pytest.raises(CommitUnknown) as caught:
        driver.run(spoiled, cut, deadline=0.5)
    assert not caught.value.is_retryable
    for _ in range(2):
        assert driver.was_applied(connection, caught.value.token) is was_applied
    assert count(connection) == was_applied


def test_opting_out_leaves_an_unknown_outcome_to_the_caller(driver, connection, spoiled, proxy):
    proxy.mishaps[:] = ["answer"]
    with pytest.raises(CommitUnknown) as caught:
        driver.run(spoiled, insert, exactly_once=False)
    assert caught.value.token is None
    assert count(connection) == 1
    with pytest.raises(dqlite_dbapi.OperationalError):
        left_by(connection)


def test_a_cancel_during_commit_is_not_followed_by_another_attempt(
    driver, connection, spoiled, proxy
):
    proxy.mishaps[:] = [spoiled.cancel]
    with pytest.raises(CommitUnknown) as caught:
        driver.run(spoiled, insert)
    assert driver.was_applied(spoiled, caught.value.token)
    assert (count(connection), left_by(connection)) == (1, (1, 0))


@pytest.mark.parametrize("driver", ["sync"], indirect=True)
def test_ctrl_c_during_commit(driver, connection, spoiled, proxy):
    main = threading.main_thread().ident
    proxy.mishaps[:] = [lambda: signal.pthread_kill(main, signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt) as caught:
        driver.run(spoiled, insert)
    assert driver.was_applied(spoiled, caught.value.__cause__.token)
    assert (count(connection), spoiled.in_transaction) == (1, False)


# --- what is run again, and what is not -----------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, IntegrityError, CommitUnknown])
def test_other_errors_roll_back_and_are_raised_at_once(driver, connection, error):
    def failing(db):
        insert(db)
        raise error("no")

    with pytest.raises(error):
        driver.run(connection, failing)
    assert (count(connection), connection.in_transaction) == (0, False)
    assert driver.run(connection, insert) == 1


def test_another_writer_is_waited_for(driver, connection, connect):
    waiting = connect(busy_timeout=0.01)
    connection.execute("BEGIN IMMEDIATE")
    told = []

    def on_retry(error, failures):
        told.append((type(error), failures))
        if failures == 2:
            threading.Thread(target=connection.rollback).start()

    driver.run(waiting, insert, on_retry=on_retry)
    assert told[:2] == [(Busy, 1), (Busy, 2)]


def test_a_stale_snapshot_is_read_again(driver, connection, connect):
    other = connect(autocommit=True)
    seen = []

    def add_one(db):
        seen.append(count(db))
        if len(seen) == 1:
            insert(other)
        db.execute("INSERT INTO t (value) VALUES (?)", (seen[-1],))

    errors = []
    driver.run(
        connection,
        add_one,
        begin="deferred",
        exactly_once=False,
        on_retry=lambda error, _: errors.append(type(error)),
    )
    assert (seen, errors, count(connection)) == ([0, 1], [BusySnapshot], 2)


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (lambda db: db.commit(), 1),
        (lambda db: db.execute("COMMIT"), 1),
        (lambda db: db.rollback(), 0),
        (lambda db: [db.commit(), insert(db)], 1),
        (lambda db: db.execute("INSERT OR ROLLBACK INTO t (id) SELECT id FROM t"), 0),
    ],
    ids=["commit", "COMMIT", "rollback", "commit and begin", "by SQLite"],
)
def test_a_function_must_not_end_the_transaction(driver, connection, end, kept):
    def function(db):
        insert(db)
        try:
            end(db)
        except IntegrityError:
            return

    with pytest.raises(ProgrammingError):
        driver.run(connection, function)
    assert (count(connection), connection.in_transaction) == (kept, False)


def test_savepoints_are_fine(driver, connection):
    def function(db):
        insert(db)
        for ending in ("RELEASE s", "ROLLBACK TO s"):
            db.execute("SAVEPOINT s")
            insert(db)
            db.execute(ending)

    driver.run(connection, function)
    assert count(connection) == 2


def test_a_transaction_that_is_open_already_is_left_alone(driver, connection):
    insert(connection)
    with pytest.raises(ProgrammingError):
        driver.run(connection, insert)
    assert connection.in_transaction
    connection.commit()
    assert count(connection) == 1


def test_a_transaction_inside_another_is_refused(driver, connection):
    with pytest.raises(ProgrammingError):
        driver.run(connection, lambda db: driver.run(connection, insert))
    assert (count(connection), connection.in_transaction) == (0, False)


# --- sources, and what the token leaves alone -----------------------------------------------------


def test_a_pool_lends_a_connection_for_each_attempt(driver, connection, spoiled, proxy):
    pool = driver.lender(spoiled)
    proxy.mishaps[:] = ["request"]
    assert driver.run(pool, insert) == 1
    assert (pool.lent, pool.returned) == (2, 2)


def test_a_callable_opens_a_connection_for_each_attempt(driver, connection, single, database):
    opened = []

    def function(db):
        opened.append(db)
        return insert(db)

    assert driver.run(driver.opener(single.addresses, database), function) == 1
    assert [db.closed for db in opened] == [True]


@pytest.mark.parametrize("source", [None, 1, "127.0.0.1:9001", object()])
def test_anything_else_is_no_source(driver, source):
    with pytest.raises(dqlite_dbapi.InterfaceError):
        driver.run(source, insert)


def test_clients_that_need_the_table_at_the_same_time(driver, connection, connect):
    connections = [connect() for _ in range(4)]
    start = threading.Barrier(4)

    def client(own):
        start.wait()
        return driver.run(own, insert)

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(client, connections)) == [1, 2, 3, 4]
    assert left_by(connection) == (4, 0)


def test_the_token_does_not_show(driver, connection):
    connection.execute("INSERT INTO t (id) VALUES (41)")
    connection.commit()
    before = connection.total_changes

    def function(db):
        assert db.execute("SELECT last_insert_rowid()").fetchone() == (41,)
        cursor = db.execute("INSERT INTO t (value) VALUES (last_insert_rowid())")
        return cursor.lastrowid, cursor.rowcount

    assert driver.run(connection, function) == (42, 1)
    assert connection.total_changes == before + 1
    assert connection.execute("SELECT value FROM t WHERE id = 42").fetchone() == (41,)


def test_a_temporary_table_of_the_same_name_is_not_taken_for_it(driver, connection):
    connection.execute("CREATE TEMP TABLE dqlite_transactions (a)")
    connection.commit()
    driver.run(connection, insert)
    assert count(connection, "temp.dqlite_transactions") == 0
    assert count(connection, "main.dqlite_transactions") == 1


@pytest.mark.parametrize("exactly_once", [True, False])
def test_a_connection_that_may_not_write(driver, connection, exactly_once):
    connection.execute("PRAGMA query_only = 1")
    if exactly_once:
        with pytest.raises(dqlite_dbapi.OperationalError) as caught:
            driver.run(connection, count)
        assert caught.value.name == "SQLITE_READONLY"
    else:
        assert driver.run(connection, count, exactly_once=False, begin="deferred") == 0


# --- asyncio only ---------------------------------------------------------------------------------


def test_a_task_that_is_cancelled_during_commit(single, database, proxy):
    async def insert_async(db):
        await db.execute("INSERT INTO t (value) VALUES ('x')")

    async def scenario():
        async with dqlite_dbapi.aio.connect(proxy.address, database) as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
            await db.commit()
            loop = asyncio.get_running_loop()
            task = asyncio.create_task(aio_retry.run_transaction(db, insert_async))
            proxy.mishaps[:] = [lambda: loop.call_soon_threadsafe(task.cancel)]
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert await aio_retry.was_applied(db, caught.value.__cause__.token)
            assert not db.in_transaction

    asyncio.run(scenario())


@pytest.mark.parametrize("at", ["BEGIN", "work", "COMMIT"])
def test_a_cancelled_task_leaves_a_connection_that_can_be_used(single, database, at):
    async def scenario():
        async with dqlite_dbapi.aio.connect(single.addresses, database) as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
            await db.commit()
            task = asyncio.current_task()
            db.set_trace_callback(lambda sql: sql.startswith(at) and task.cancel())

            async def work(db):
                await db.execute("INSERT INTO t (value) VALUES ('x')")
                if at == "work":
                    task.cancel()
                await db.execute("INSERT INTO t (value) VALUES ('y')")
                if at == "COMMIT":
                    task.cancel()

            with pytest.raises(asyncio.CancelledError) as caught:
                await aio_retry.run_transaction(db, work)
            assert not db.in_transaction
            db.set_trace_callback(None)
            unknown = caught.value.__cause__
            assert (unknown is not None) == (at == "COMMIT")
            rows = 2 * await aio_retry.was_applied(db, unknown.token) if unknown else 0
            assert await (await db.execute("SELECT count(*) FROM t")).fetchone() == (rows,)

    asyncio.run(scenario())
