"""Lending connections and taking them back clean; one body for threads and for tasks."""

from __future__ import annotations

import gc
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest

import dqlite_dbapi
from dqlite_dbapi import InterfaceError
from dqlite_dbapi.aio.pool import AsyncConnectionPool
from dqlite_dbapi.errors import PoolTimeout
from dqlite_dbapi.pool import ConnectionPool
from dqlite_dbapi.retry import run_transaction
from tests.support.pools import count_rows, wait_until


def test_a_block_commits(pool):
    with pool.connection() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    assert count_rows(pool) == 1


def test_a_block_that_fails_rolls_back(pool):
    def fail():
        with pool.connection() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count_rows(pool) == 0
    assert pool.get_stats()["pool_available"] == 1


def test_a_commit_that_fails_returns_the_connection(pool):
    with pool.connection() as connection:
        connection.execute("CREATE TABLE u (a REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("CREATE UNIQUE INDEX i ON t (a)")
    with pytest.raises(dqlite_dbapi.IntegrityError), pool.connection() as connection:
        connection.execute("INSERT INTO u VALUES (7)")
    with pool.connection(timeout=0) as connection:
        assert connection.execute("SELECT * FROM u").fetchall() == []


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "BEGIN", "SAVEPOINT s"])
def test_what_was_not_committed_is_rolled_back(pool, sql):
    connection = pool.getconn()
    connection.execute(sql)
    pool.putconn(connection)
    again = pool.getconn()
    assert again == connection
    assert not again.in_transaction
    pool.putconn(again)
    assert count_rows(pool) == 0


def test_a_half_read_result_does_not_reach_the_next_user(pool):
    connection = pool.getconn()
    cursor = connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 50000)"
        " SELECT x, zeroblob(100) FROM n"
    )
    assert cursor.fetchone()[0] == 1
    pool.putconn(connection)
    with pool.connection() as again:
        assert again.execute("SELECT 5").fetchall() == [(5,)]


def test_it_grows_on_demand_up_to_its_size(pool):
    lent = [pool.getconn(), pool.getconn()]
    assert lent[0] != lent[1]
    with pytest.raises(PoolTimeout) as caught:
        pool.getconn(timeout=0.05)
    assert caught.value.is_retryable
    assert not caught.value.is_disconnect
    for connection in lent:
        pool.putconn(connection)
    stats = pool.get_stats()
    assert (stats["pool_size"], stats["pool_available"], stats["requests_errors"]) == (2, 2, 1)


def test_it_has_its_least_size_without_a_request(pool_of):
    pool = pool_of(min_size=3)
    pool.wait(10)
    assert pool.get_stats()["pool_available"] == 3
    assert (pool.min_size, pool.max_size, pool.closed) == (3, 3, False)


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_the_pools_own_timeout(pool_of, timeout):
    pool = pool_of(min_size=1, timeout=timeout)
    pool.wait(10)
    with pool.connection(), pytest.raises(PoolTimeout):
        pool.getconn()


def test_waiters_are_served_in_their_order(pool_of):
    pool = pool_of(min_size=1)
    served = []

    def visit(number):
        with pool.connection(timeout=20):
            served.append(number)

    with ThreadPoolExecutor(5) as executor, pool.connection():
        for number in range(5):
            executor.submit(visit, number)
            wait_until(lambda wanted=number + 1: pool.get_stats()["requests_waiting"] == wanted)
    assert served == [0, 1, 2, 3, 4]


def test_only_so_many_may_wait(pool_of):
    pool = pool_of(min_size=1, max_waiting=1)
    with ThreadPoolExecutor(1) as executor, pool.connection():
        waiting = executor.submit(pool.getconn, 0.5)
        wait_until(lambda: pool.get_stats()["requests_waiting"])
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=20)
        with pytest.raises(PoolTimeout):
            waiting.result()


def test_many_users_share_few_connections(pool_of):
    pool = pool_of(min_size=0, max_size=3)
    with pool.connection() as connection:
        connection.execute("CREATE TABLE t (a)")

    def insert(number):
        with pool.connection() as connection:
            connection.execute("INSERT INTO t VALUES (?)", (number,))

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(insert, range(60)))
    assert count_rows(pool) == 60
    assert pool.get_stats()["connections_num"] <= 3


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_forgotten_lease_is_noticed(pool_of):
    pool = pool_of(min_size=1)
    connection = pool.getconn()
    cursor = connection.execute("SELECT 1")
    del connection
    gc.collect()
    with pytest.raises(PoolTimeout):
        pool.getconn(timeout=0.05)
    assert cursor.fetchone() == (1,)
    del cursor
    gc.collect()
    with pool.connection(timeout=10) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_pool_takes_back_only_what_it_lent(pool_of):
    pool, other = pool_of(min_size=1), pool_of(min_size=1)
    connection = pool.getconn()
    with pytest.raises(InterfaceError):
        other.putconn(connection)
    pool.putconn(connection)
    with pytest.raises(InterfaceError):
        pool.putconn(connection)


def test_a_pool_works_for_run_transaction(single, database):
    with ConnectionPool(single.addresses, database, min_size=1) as pool:
        run_transaction(pool, lambda connection: connection.execute("CREATE TABLE t (a)"))
        assert count_rows(pool) == 0


@pytest.mark.parametrize(
    ("kind", "is_generator"),
    [
        (ConnectionPool, inspect.isgeneratorfunction),
        (AsyncConnectionPool, inspect.isasyncgenfunction),
    ],
)
def test_a_pool_is_a_generator_function_for_frameworks(kind, is_generator):
    assert is_generator(kind.__call__)


def test_a_pool_as_generator_lends_and_takes_back(single, database):
    with ConnectionPool(single.addresses, database, min_size=1) as pool:
        steps = pool()
        assert next(steps).execute("SELECT 1").fetchone() == (1,)
        assert pool.get_stats()["pool_available"] == 0
        assert list(steps) == []
        assert pool.get_stats()["pool_available"] == 1


# --- clean connections ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("row_factory", lambda _cursor, row: list(row)),
        ("text_factory", bytes),
        ("timeout", 3.0),
        ("isolation_level", "IMMEDIATE"),
        ("isolation_level", None),
        ("autocommit", True),
    ],
)
def test_settings_of_a_user_are_undone(pool, name, value):
    connection = pool.getconn()
    before = getattr(connection, name)
    setattr(connection, name, value)
    pool.putconn(connection)
    with pool.connection() as again:
        assert again == connection
        assert getattr(again, name) == before


def test_the_busy_timeout_is_undone(pool):
    with pool.connection() as connection:
        connection.execute("PRAGMA busy_timeout = 17").fetchall()
    with pool.connection() as again:
        assert again.execute("PRAGMA busy_timeout").fetchone() == (5000,)


def test_changes_are_counted_anew(pool):
    with pool.connection() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        assert connection.total_changes == 1
    with pool.connection() as again:
        assert again.total_changes == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda connection: connection.execute("PRAGMA query_only = 1"),
        lambda connection: connection.execute("PRAGMA secure_delete = 1").fetchall(),
        lambda connection: connection.execute("CREATE TEMP TABLE x (a)"),
        lambda connection: connection.execute("CREATE VIEW temp.x AS SELECT 1"),
        lambda connection: connection.register_adapter(set, len),
        lambda connection: connection.register_converter("x", len),
        lambda connection: connection.close(),
    ],
    ids=["query_only", "secure_delete", "temp table", "temp view", "adapter", "converter", "close"],
)
def test_what_cannot_be_undone_costs_the_connection(pool, change):
    connection = pool.getconn()
    change(connection)
    if not connection.closed:
        connection.commit()
    pool.putconn(connection)
    wait_until(lambda: connection.closed)
    assert pool.get_stats()["returns_bad"] == 1
    with pool.connection() as other:
        assert other != connection
        assert other.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("sql", ["PRAGMA table_info(t)", "PRAGMA user_version = 5", "SELECT 1"])
def test_harmless_statements_keep_the_connection(pool, sql):
    with pool.connection() as connection:
        connection.execute(sql)
    with pool.connection() as again:
        assert again == connection
