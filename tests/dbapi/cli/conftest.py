"""The command `dqlite-py` in this process, on the session's cluster."""

from __future__ import annotations

from contextlib import closing

import pytest
from click.testing import CliRunner

import dqlite_dbapi
from dqlite_dbapi.cli.main import cli


@pytest.fixture
def run():
    """Run a command; gives its `exit_code`, `stdout` and `stderr`."""

    def invoke(*words, text=None):
        return CliRunner().invoke(cli, [str(word) for word in words], input=text)

    return invoke


@pytest.fixture
def url(cluster, database):
    return f"dqlite://{','.join(cluster.addresses)}/{database}"


@pytest.fixture
def books(url):
    """A committed table `book (id, title, cover)` of three rows; its database's URL."""
    with closing(dqlite_dbapi.connect(url)) as connection:
        connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, cover BLOB)")
        rows = [(1, "Momo", b"\x01\xff"), (2, "a|b,c", None), (3, "line\nbreak\x1b", b"")]
        connection.executemany("INSERT INTO book VALUES (?, ?, ?)", rows)
        connection.commit()
    return url
