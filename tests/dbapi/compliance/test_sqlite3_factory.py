"""What CPython's tests of `sqlite3` (test_factory) ask that dqlite can answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import pytest

from dqlite_dbapi import Row

AUSTRIA = "Österreich"


def by_name(cursor, row):
    """The row factory that `sqlite3`'s manual shows."""
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


# -- row factories


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (None, (1, 2)),
        (lambda cursor, row: list(row), [1, 2]),
        (by_name, {"a": 1, "b": 2}),
        (lambda cursor, row: row[1], 2),
    ],
)
@pytest.mark.parametrize("owner", ["option", "connection", "cursor"])
def test_row_factories(connect, factory, expected, owner):
    connection = connect(row_factory=factory) if owner == "option" else connect()
    if owner == "connection":
        connection.row_factory = factory
    cursor = connection.cursor()
    if owner == "cursor":
        cursor.row_factory = factory
    cursor.execute("SELECT 1 AS a, 2 AS b")
    assert cursor.fetchone() == expected
    for fetch in (cursor.fetchall, lambda: cursor.fetchmany(5), lambda: list(cursor)):
        cursor.execute("SELECT 1 AS a, 2 AS b")
        assert fetch() == [expected]


def test_a_cursor_keeps_the_factory_it_was_made_with(connection):
    old = connection.cursor()
    connection.row_factory = by_name
    assert old.execute("SELECT 1").fetchone() == (1,)
    assert connection.execute("SELECT 1 AS a").fetchone() == {"a": 1}


def test_a_factory_that_fails(connection):
    connection.row_factory = lambda cursor, row: 1 // 0
    cursor = connection.execute("SELECT 1")
    with pytest.raises(ZeroDivisionError):
        cursor.fetchone()
    connection.row_factory = None
    assert connection.execute("SELECT 1").fetchone() == (1,)


# -- Row


@pytest.fixture(params=[Row, sqlite3.Row], ids=["ours", "sqlite3"])
def row(request, connection):
    """The function that gives the only row of a query; `sqlite3.Row` is understood too."""
    connection.row_factory = request.param
    return lambda sql: connection.execute(f"SELECT {sql}").fetchone()


@pytest.mark.parametrize(
    ("key", "value"),
    [("a_1", 1), ("b", 2), ("A_1", 1), ("B", 2), (0, 1), (1, 2), (-1, 2), (-2, 1), (True, 2)],
)
def test_row_by_name_and_index(row, key, value):
    found = row("1 AS a_1, 2 AS b")
    assert isinstance(found, Row)
    assert found[key] == value


@pytest.mark.parametrize("key", ["c", "a_\x11", "a\x7f1", "", 2, -3, 2**1000, 1j, None, 1.0])
def test_row_without_such_a_column(row, key):
    with pytest.raises(IndexError):
        row("1 AS a_1, 2 AS b")[key]


def test_row_names_beyond_ascii(row):
    found = row("1 AS \xff")
    assert found["\xff"] == 1
    for other in ("\u0178", "\xdf"):
        with pytest.raises(IndexError):
            found[other]


@pytest.mark.parametrize(
    "part",
    [
        *(slice(0, 0), slice(0, 1), slice(1, 3), slice(3, 1), slice(1, None), slice(None, 3)),
        *(slice(-2, -1), slice(-2, None), slice(0, 4, 2), slice(3, 0, -2)),
    ],
)
def test_row_slices(row, part):
    assert row("1, 2, 3, 4")[part] == (1, 2, 3, 4)[part]


def test_row_as_other_containers(row):
    found = row("1 AS a, 2 AS b")
    assert list(found) == list(found) == [1, 2]
    assert tuple(found) == (1, 2)
    assert dict(found) == {"a": 1, "b": 2}
    assert list(reversed(found)) == [2, 1]
    assert found.keys() == ["a", "b"]
    assert len(found) == 2
    assert isinstance(found, Sequence)


def test_row_equality(row):
    first = row("1 AS a, 2 AS b")
    again = row("1 AS a, 2 AS b")
    assert first == again
    assert hash(first) == hash(again)
    for other in (row("1 AS a, 3 AS b"), row("1 AS b, 2 AS a"), row("2 AS b, 1 AS a"), object()):
        assert (first == other, first != other) == (False, True)


@pytest.mark.parametrize("compare", ["__gt__", "__lt__", "__ge__", "__le__"])
def test_rows_have_no_order(row, compare):
    first = row("1 AS a")
    assert getattr(first, compare)(row("1 AS a")) is NotImplemented


# -- text factory


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (str, AUSTRIA),
        (bytes, AUSTRIA.encode()),
        (bytearray, bytearray(AUSTRIA.encode())),
        (lambda data: data, AUSTRIA.encode()),
        (lambda data: str(data, "ascii", "ignore"), "sterreich"),
    ],
)
def test_text_factory(connection, factory, expected):
    assert connection.text_factory is str
    connection.text_factory = factory
    (text, blob, number, null) = connection.execute(
        "SELECT ?, x'00', 1, NULL", (AUSTRIA,)
    ).fetchone()
    assert (text, type(text)) == (expected, type(expected))
    assert (blob, number, null) == (b"\0", 1, None)
