"""How pools begin, grow, shrink, renew and end; one body for threads and for tasks."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import dqlite_dbapi
from dqlite_dbapi import Error, InterfaceError
from dqlite_dbapi.aio.pool import AsyncConnectionPool
from dqlite_dbapi.errors import PoolClosed, PoolTimeout
from dqlite_dbapi.pool import ConnectionPool
from tests.support.pools import sockets, wait_until

PSYCOPG_STATS = {
    *("pool_min", "pool_max", "pool_size", "pool_available", "requests_waiting"),
    *("usage_ms", "requests_num", "requests_queued", "requests_wait_ms", "requests_errors"),
    *("returns_bad", "connections_num", "connections_ms", "connections_errors"),
    "connections_lost",
}


def test_configure_prepares_each_connection(pool_of, hook):
    seen = []
    pool = pool_of(min_size=2, configure=hook("PRAGMA recursive_triggers = 1", seen))
    pool.wait(10)
    assert len(seen) == 2
    for _ in range(2):
        with pool.connection() as connection:
            assert connection.execute("PRAGMA recursive_triggers").fetchone() == (1,)
    assert len(seen) == 2


@pytest.mark.parametrize("sql", ["SELECT * FROM missing", "BEGIN"])
def test_configure_that_fails_is_told_to_who_waits(pool_of, hook, sql):
    pool = pool_of(min_size=1, configure=hook(sql))
    for wait in (pool.getconn, pool.wait):
        with pytest.raises(Error) as caught:
            wait(timeout=20)
        assert not isinstance(caught.value, PoolTimeout)
    assert pool.get_stats()["connections_errors"] >= 1


@pytest.mark.parametrize(("sql", "is_kept"), [("SELECT 1", True), ("BEGIN", False), ("X", False)])
def test_reset_decides_whether_a_connection_is_kept(pool_of, hook, sql, is_kept):
    seen = []
    pool = pool_of(min_size=1, reset=hook(sql, seen))
    connection = pool.getconn()
    pool.putconn(connection)
    assert len(seen) == 1
    with pool.connection() as other:
        assert (other == connection) is is_kept


def test_check_replaces_what_does_not_answer(pool_of, flavour):
    kind = ConnectionPool if flavour == "sync" else AsyncConnectionPool
    pool = pool_of(min_size=1, check=kind.check_connection)
    connection = pool.getconn()
    pool.putconn(connection)
    with pool.connection() as again:
        assert again == connection
    connection.close()
    with pool.connection() as other:
        assert other != connection
    assert pool.get_stats()["connections_lost"] == 1


def test_a_check_of_all_idle_connections(pool_of):
    pool = pool_of(min_size=2)
    lent = [pool.getconn(), pool.getconn()]
    for connection in lent:
        pool.putconn(connection)
    lent[0].close()
    pool.check()
    assert pool.get_stats()["connections_lost"] == 1
    wait_until(lambda: pool.get_stats()["pool_available"] == 2)
    with pool.connection() as connection, pool.connection() as other:
        assert lent[0] not in (connection, other)
        assert lent[1] in (connection, other)


# --- growing old ----------------------------------------------------------------------------------


def test_old_connections_are_replaced(pool_of):
    pool = pool_of(min_size=1, max_lifetime=0.1)
    with pool.connection() as connection:
        time.sleep(0.12)
    with pool.connection() as other:
        assert other != connection
    wait_until(lambda: connection.closed)
    wait_until(lambda: pool.get_stats()["connections_num"] > 2)  # idle ones, too


def test_idle_connections_are_closed(pool_of):
    pool = pool_of(min_size=1, max_size=3, max_idle=0.1)
    lent = [pool.getconn() for _ in range(3)]
    for connection in lent:
        pool.putconn(connection)
    wait_until(lambda: pool.get_stats()["pool_size"] == 1)
    wait_until(lambda: [connection.closed for connection in lent] == [True, True, False])


def test_resize(pool_of):
    pool = pool_of(min_size=2)
    pool.wait(10)
    pool.resize(0, 1)
    wait_until(lambda: pool.get_stats()["pool_size"] == 1)
    with pool.connection(), pytest.raises(PoolTimeout):
        pool.getconn(timeout=0.01)
    pool.resize(3)
    pool.wait(10)
    assert pool.get_stats()["pool_available"] == 3
    with pytest.raises(InterfaceError):
        pool.resize(3, 2)


def test_drain_replaces_every_connection(pool_of):
    pool = pool_of(min_size=2)
    pool.wait(10)
    lent, idle = pool.getconn(), pool.getconn()
    pool.putconn(idle)
    pool.drain()
    wait_until(lambda: idle.closed)
    assert lent.execute("SELECT 1").fetchone() == (1,)
    pool.putconn(lent)
    wait_until(lambda: lent.closed)
    pool.wait(10)


# --- opening and closing --------------------------------------------------------------------------


def test_a_closed_pool_lends_nothing(pool):
    connection = pool.getconn()
    pool.close()
    pool.close()
    assert pool.closed
    for call in (pool.getconn, pool.wait, pool.connection().__enter__):
        with pytest.raises(PoolClosed):
            call()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    pool.putconn(connection)
    wait_until(lambda: connection.closed)


def test_closing_ends_the_waiting(pool_of):
    pool = pool_of(min_size=1)
    with ThreadPoolExecutor(1) as executor, pool.connection():
        waiting = executor.submit(pool.getconn, 60)
        wait_until(lambda: pool.get_stats()["requests_waiting"])
        pool.close()
        with pytest.raises(PoolClosed):
            waiting.result(10)


def test_a_pool_that_opens_later_and_twice(pool_of):
    pool = pool_of(min_size=1, open=False)
    assert pool.closed
    with pytest.raises(PoolClosed):
        pool.getconn()
    for _ in range(2):
        pool.open(wait=True, timeout=10)
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        pool.close()


def test_a_pool_without_a_cluster(new_pool):
    pool = new_pool("127.0.0.1:1", min_size=1, open=False, connect_timeout=0.1)
    with pytest.raises(PoolTimeout) as caught:
        pool.open(wait=True, timeout=0.3)
    assert isinstance(caught.value.__cause__, dqlite_dbapi.NoLeader)
    assert pool.closed
    pool.open()
    with pytest.raises(PoolTimeout):
        pool.getconn(timeout=0.05)


def test_an_unknown_setting_is_refused(new_pool):
    with pytest.raises(InterfaceError):
        new_pool("127.0.0.1:1", min_sice=1)


def test_stats_have_the_names_of_psycopg_pool(pool):
    with pool.connection():
        pass
    stats = pool.get_stats()
    assert set(stats) == PSYCOPG_STATS
    assert {type(value) for value in stats.values()} == {int}
    assert pool.pop_stats()["requests_num"] == 2
    stats = pool.get_stats()
    assert (stats["requests_num"], stats["connections_num"], stats["pool_size"]) == (0, 0, 1)


def test_names(pool_of):
    first, second = pool_of(min_size=0, max_size=1), pool_of(min_size=0, max_size=1)
    assert first.name != second.name
    assert pool_of(min_size=0, max_size=1, name="mine").name == "mine"


def test_nothing_is_left_open(pool_of):
    before = sockets()
    for _ in range(3):
        pool = pool_of(min_size=2, max_size=3)
        with pool.connection(), pool.connection(), pool.connection():
            assert sockets() > before
        pool.close()
    wait_until(lambda: sockets() <= before)
