"""What CPython's tests of `sqlite3` (test_dbapi, test_regression) ask that dqlite can answer.

What they ask otherwise is told in docs/reference/differences-from-sqlite3.md.
"""

from __future__ import annotations

import gc
import threading

import pytest

import dqlite_dbapi
from dqlite_dbapi import (
    IntegrityError,
    OperationalError,
    ProgrammingError,
)

# -- connection


def test_a_result_dies_with_its_connection(connection, people):
    cursor = connection.execute("SELECT 1")
    connection.close()
    for call in (
        cursor.fetchall,
        lambda: cursor.executescript("SELECT 1"),
        lambda: connection.execute("SELECT 1"),
        lambda: connection.executemany("DELETE FROM people", [()]),
        lambda: connection.executescript("SELECT 1"),
        lambda: connection.__exit__(None, None, None),
    ):
        with pytest.raises(ProgrammingError):
            call()


def test_closing_twice_is_fine(connection):
    connection.close()
    connection.close()


@pytest.mark.parametrize("name", ["in_transaction", "total_changes"])
def test_attributes_that_only_tell(connection, name):
    with pytest.raises(AttributeError):
        setattr(connection, name, 1)
    with pytest.raises(AttributeError):
        del connection.isolation_level


def test_in_transaction(connection, people):
    connection.commit()
    assert connection.in_transaction is False
    connection.execute("INSERT INTO people (name) VALUES ('a')")
    connection.execute("SELECT name FROM people").fetchone()
    assert connection.in_transaction is True
    connection.commit()
    connection.execute("SELECT name FROM people").fetchone()
    assert connection.in_transaction is False


def test_many_abandoned_cursors(connection):
    cursors = []
    for number in range(120):
        cursors.append(connection.execute(f"SELECT {number}"))
        if number % 3:
            assert cursors.pop().fetchone() == (number,)
    del cursors
    gc.collect()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_isolation_level_that_is_none_leaves_the_old_one(connection):
    for level in ("BOGUS", " ", "DEFERRE", "IMMEDIATES", "IMMEDIATE\0EXCLUSIVE", "\xe9", 1, b""):
        with pytest.raises((ValueError, TypeError)):
            connection.isolation_level = level
        assert connection.isolation_level == ""


@pytest.mark.parametrize("level", ["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE", None])
def test_isolation_levels(connect, level):
    assert connect(isolation_level=level).isolation_level == level
    connection = connect()
    connection.isolation_level = level and level.capitalize()
    assert connection.isolation_level == level


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("INSERT INTO c VALUES (-1)", "SQLITE_CONSTRAINT_CHECK"),
        ("INSERT INTO c VALUES (NULL)", "SQLITE_CONSTRAINT_NOTNULL"),
    ],
)
def test_extended_error_codes(connection, sql, name):
    connection.execute("CREATE TABLE c (t INTEGER NOT NULL CHECK (t > 0))")
    with pytest.raises(IntegrityError) as caught:
        connection.execute(sql)
    assert caught.value.sqlite_errorname == name
    assert caught.value.sqlite_errorcode & 0xFF == 19


def test_threads_may_share(connection, people):
    problems = []

    def work():
        try:
            connection.execute("INSERT INTO people (name) VALUES ('thread')")
            cursor.fetchone()
            connection.commit()
        except Exception as error:
            problems.append(error)

    cursor = connection.execute("SELECT name FROM people")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert problems == []


# -- fetching


def test_rows_survive_commit_and_rollback(connection, cursor):
    connection.commit()
    for end in (connection.commit, connection.rollback):
        cursor.execute("SELECT 1 UNION SELECT 2 UNION SELECT 3")
        assert cursor.fetchone() == (1,)
        connection.execute("INSERT INTO people (name) VALUES ('x')")
        end()
        assert cursor.fetchall() == [(2,), (3,)]


def test_writing_while_reading(connection, cursor):
    connection.executemany("INSERT INTO people (name) VALUES (?)", [("a",), ("b",)])
    seen = []
    for (number,) in connection.execute("SELECT id FROM people"):
        seen.append(number)
        connection.execute("INSERT INTO people (name) VALUES ('copy')")
        connection.commit()
    assert seen == [1, 2, 3]


def test_a_table_may_go_while_its_rows_are_read(connection, cursor):
    connection.commit()
    cursor.execute("SELECT id FROM people")
    connection.execute("DROP TABLE people")
    connection.commit()
    assert cursor.fetchall() == [(1,)]


def test_fetchmany_by_keyword(cursor):
    cursor.execute("SELECT name FROM people")
    assert cursor.fetchmany(size=100) == [("foo",)]
    assert cursor.fetchmany(size=100) == []


def test_an_empty_blob_is_empty_bytes(connection):
    assert connection.execute("SELECT x''").fetchone() == (b"",)


# -- scripts


def test_a_script_with_comments(cursor):
    cursor.executescript("-- bla\n/* a comment */ CREATE TABLE a (i); INSERT INTO a VALUES (5);")
    assert cursor.execute("SELECT i FROM a").fetchone() == (5,)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE test (x); asdf; CREATE TABLE test2 (x)",
        "CREATE TABLE test (x); SELECT foo FROM nothing; CREATE TABLE test2 (x)",
    ],
)
def test_a_script_stops_at_its_first_error(connection, cursor, script):
    with pytest.raises(OperationalError):
        cursor.executescript(script)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'test%'")
    assert tables.fetchall() == [("test",)]


def test_a_script_commits_an_open_transaction(connection):
    connection.execute("BEGIN")
    assert connection.in_transaction
    connection.executescript("SELECT 1")
    assert not connection.in_transaction


@pytest.mark.parametrize("name", ["execute", "executemany", "executescript"])
def test_closed_cursors_run_nothing(cursor, name):
    cursor.close()
    arguments = ("DELETE FROM people", [()]) if name == "executemany" else ("SELECT 1",)
    with pytest.raises(ProgrammingError):
        getattr(cursor, name)(*arguments)


# -- ON CONFLICT


@pytest.mark.parametrize("own_begin", [False, True], ids=["implicit", "BEGIN"])
@pytest.mark.parametrize(
    ("conflict", "fails", "left"),
    [
        ("ROLLBACK", True, []),
        ("ABORT", True, [("first", None), (None, "foo")]),
        ("FAIL", True, [("first", None), (None, "foo")]),
        ("IGNORE", False, [("first", None), (None, "foo")]),
        ("REPLACE", False, [("first", None), (None, "foo")]),
    ],
)
def test_on_conflict(connect, own_begin, conflict, fails, left):
    connection = connect(isolation_level=None if own_begin else "")
    connection.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, name TEXT, code TEXT UNIQUE)")
    connection.commit()
    if own_begin:
        connection.execute("BEGIN")
    connection.execute("INSERT INTO c (name) VALUES ('first')")
    sql = f"INSERT OR {conflict} INTO c (code) VALUES ('foo')"
    connection.execute(sql)
    if fails:
        with pytest.raises(dqlite_dbapi.IntegrityError):
            connection.execute(sql)
    else:
        connection.execute(sql)
    connection.commit()
    assert connection.execute("SELECT name, code FROM c").fetchall() == left
