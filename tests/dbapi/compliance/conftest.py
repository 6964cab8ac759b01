"""The table that the ports of `sqlite3`'s tests share."""

from __future__ import annotations

import pytest


@pytest.fixture
def people(connection):
    """A table with one uncommitted row."""
    connection.execute(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, income NUMBER, code TEXT UNIQUE)"
    )
    connection.execute("INSERT INTO people (name) VALUES (?)", ("foo",))


@pytest.fixture
def cursor(connection, people):
    return connection.cursor()
