"""Connections for tools that were written for `sqlite3`, each to a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import dqlite_dbapi


@pytest.fixture
def connect(single, database) -> Iterator:
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
