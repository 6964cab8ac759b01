"""Pools of either kind on the session's single member."""

from __future__ import annotations

import pytest

from dqlite_dbapi.aio.pool import AsyncConnectionPool
from dqlite_dbapi.pool import ConnectionPool


@pytest.fixture(params=["sync", "aio"])
def flavour(request):
    return request.param


@pytest.fixture
def new_pool(flavour, request, database):
    """Make pools of either kind; all are closed at the end."""
    made = []

    def make(addresses, **settings):
        if flavour == "sync":
            made.append(ConnectionPool(addresses, database, **settings))
        else:
            loop = request.getfixturevalue("loop_thread")
            made.append(loop.call(AsyncConnectionPool, addresses, database, **settings))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def pool_of(new_pool, single):
    return lambda **settings: new_pool(single.addresses, **settings)


@pytest.fixture
def pool(pool_of):
    """Up to two connections, and a table `t (a)`."""
    pool = pool_of(min_size=1, max_size=2)
    with pool.connection() as connection:
        connection.execute("CREATE TABLE t (a)")
    return pool


@pytest.fixture
def hook(flavour):
    """Make a function for `check`, `configure` or `reset` of either kind from a statement."""

    def make(sql, seen=None):
        def run(connection):
            if seen is not None:
                seen.append(id(connection))
            connection.execute(sql)

        async def run_async(connection):
            if seen is not None:
                seen.append(id(connection))
            await connection.execute(sql)

        return run if flavour == "sync" else run_async

    return make
