"""Connections to the session's clusters, each to a database of its own."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

import dqlite_dbapi


@pytest.fixture
def connect(single, database):
    """Open connections to one database of a single member; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(**options):
            connection = dqlite_dbapi.connect(single.addresses, database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def connection(connect):
    return connect()


@pytest.fixture
def table(connection):
    """A committed table `t (id, value)` with rows 1 to 3."""
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "one"), (2, "two"), (3, "three")])
    connection.commit()
    return "t"
