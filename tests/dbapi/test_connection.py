"""Transactions and life of a connection, on a real member."""

from __future__ import annotations

import time

import pytest

import dqlite_dbapi
from dqlite_dbapi import (
    Busy,
    BusySnapshot,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)


def ids(connection):
    return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id")]


def test_work_is_seen_by_others_after_commit(connect, connection, table):
    other = connect()
    connection.execute("INSERT INTO t VALUES (4, 'four')")
    assert connection.in_transaction
    assert ids(other) == [1, 2, 3]
    connection.commit()
    assert not connection.in_transaction
    assert ids(other) == [1, 2, 3, 4]


def test_rollback(connection, table):
    connection.execute("DELETE FROM t")
    connection.rollback()
    assert ids(connection) == [1, 2, 3]


def test_reading_opens_no_transaction(connect, connection, table):
    other = connect()
    assert ids(connection) == [1, 2, 3]
    assert not connection.in_transaction
    other.execute("INSERT INTO t VALUES (4, 'four')")
    other.commit()
    connection.execute("INSERT INTO t VALUES (5, 'five')")
    connection.commit()
    assert ids(other) == [1, 2, 3, 4, 5]


def test_schema_changes_are_part_of_the_transaction(connection, table):
    connection.execute("CREATE TABLE u (a)")
    connection.execute("DROP TABLE t")
    connection.rollback()
    names = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert names == [("t",)]


def test_commit_and_rollback_without_a_transaction_do_nothing(connection):
    connection.commit()
    connection.rollback()
    assert not connection.in_transaction


def test_a_user_s_own_begin_is_the_transaction(connection, table):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM t")
    connection.execute("ROLLBACK")
    assert not connection.in_transaction
    assert ids(connection) == [1, 2, 3]


@pytest.mark.parametrize("mode", ["deferred", "immediate", "exclusive"])
def test_begin_modes(connect, mode):
    connection = connect(begin=mode)
    connection.execute("CREATE TABLE u (a)")
    assert connection.in_transaction
    connection.commit()


def test_autocommit(connect, connection, table):
    automatic = connect(autocommit=True)
    automatic.execute("INSERT INTO t VALUES (4, 'four')")
    assert not automatic.in_transaction
    assert ids(connection) == [1, 2, 3, 4]


def test_switching_autocommit_on_commits(connect, connection, table):
    connection.execute("INSERT INTO t VALUES (4, 'four')")
    connection.autocommit = True
    assert connection.autocommit
    assert ids(connect()) == [1, 2, 3, 4]


def test_context_manager_commits_or_rolls_back(connect, connection, table):
    with connection:
        connection.execute("INSERT INTO t VALUES (4, 'four')")
    with pytest.raises(OperationalError), connection:
        connection.execute("INSERT INTO t SELECT 5, 'five' FROM t UNION SELECT 6, no FROM nothing")
    assert ids(connect()) == [1, 2, 3, 4]


@pytest.mark.parametrize("autocommit", [False, True])
def test_savepoints(connect, table, autocommit):
    connection = connect(autocommit=autocommit)
    connection.execute("SAVEPOINT a")
    connection.execute("DELETE FROM t WHERE id = 1")
    connection.execute("SAVEPOINT b")
    connection.execute("DELETE FROM t WHERE id = 2")
    connection.execute("ROLLBACK TO b")
    connection.execute("RELEASE a")
    assert connection.in_transaction is not autocommit
    connection.rollback()
    assert ids(connection) == ([2, 3] if autocommit else [1, 2, 3])


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR ROLLBACK INTO t VALUES (1, 'again')",
        "INSERT INTO strict_t VALUES (NULL)",
        "INSERT INTO guarded VALUES (1)",
    ],
)
def test_statements_that_end_the_transaction_are_noticed(connection, table, sql):
    connection.execute("CREATE TABLE strict_t (a NOT NULL ON CONFLICT ROLLBACK)")
    connection.execute("CREATE TABLE guarded (a)")
    connection.execute(
        "CREATE TRIGGER g BEFORE INSERT ON guarded BEGIN SELECT raise(ROLLBACK, 'no'); END"
    )
    connection.commit()
    connection.execute("DELETE FROM t WHERE id = 3")
    with pytest.raises(IntegrityError):
        connection.execute(sql)
    assert not connection.in_transaction
    assert ids(connection) == [1, 2, 3]


def test_a_deferred_constraint_leaves_the_transaction_open(connection):
    connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    connection.commit()
    connection.execute("INSERT INTO c VALUES (1)")
    with pytest.raises(IntegrityError):
        connection.commit()
    assert connection.in_transaction
    connection.execute("INSERT INTO p VALUES (1)")
    connection.commit()


def test_a_second_writer_waits_for_the_busy_timeout(connect, connection, table):
    waiting = connect(busy_timeout=0.3)
    connection.execute("DELETE FROM t WHERE id = 1")
    start = time.monotonic()
    with pytest.raises(Busy) as caught:
        waiting.execute("DELETE FROM t WHERE id = 2")
    assert time.monotonic() - start >= 0.3
    assert caught.value.is_retryable
    connection.commit()
    waiting.execute("DELETE FROM t WHERE id = 2")
    waiting.commit()
    assert ids(connection) == [3]


def test_a_stale_snapshot_cannot_write(connect, connection, table):
    connection.execute("BEGIN")
    ids(connection)
    other = connect(autocommit=True)
    other.execute("DELETE FROM t WHERE id = 1")
    with pytest.raises(BusySnapshot):
        connection.execute("DELETE FROM t WHERE id = 2")
    connection.rollback()
    connection.execute("DELETE FROM t WHERE id = 2")
    connection.commit()
    assert ids(other) == [3]


@pytest.mark.parametrize("autocommit", [False, True])
def test_returning(connect, table, autocommit):
    connection = connect(autocommit=autocommit)
    sql = "INSERT INTO t (value) VALUES ('x'), ('y') RETURNING id, value"
    if connection.server.flavour.returning == "refused":
        with pytest.raises(NotSupportedError):
            connection.execute(sql)
        return
    cursor = connection.execute(sql)
    assert (cursor.fetchall(), cursor.rowcount) == ([(4, "x"), (5, "y")], 2)
    assert connection.in_transaction is not autocommit
    connection.commit()
    connection.execute("DELETE FROM t WHERE id = 4")
    connection.commit()
    assert ids(connect()) == [1, 2, 3, 5]


@pytest.mark.parametrize("autocommit", [False, True])
def test_returning_that_fails(connect, table, autocommit):
    connection = connect(autocommit=autocommit)
    with pytest.raises((IntegrityError, NotSupportedError)):
        connection.execute("INSERT INTO t VALUES (9, 'x'), (1, 'y') RETURNING id")
    connection.rollback()
    assert ids(connection) == [1, 2, 3]


@pytest.mark.parametrize(("option", "expected"), [(None, 1), (True, 1), (False, 0)])
def test_foreign_keys(connect, option, expected):
    connection = connect(foreign_keys=option)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (expected,)


def test_busy_timeout_is_the_connection_s(connect):
    connection = connect(busy_timeout=1.5)
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (1500,)
    assert connection.execute("PRAGMA busy_timeout = 250").fetchone() == (250,)
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (250,)


@pytest.mark.parametrize(
    "sql",
    ["PRAGMA journal_mode=DELETE", "PRAGMA synchronous=FULL", "PRAGMA page_size=8192",
     "PRAGMA wal_checkpoint", "PRAGMA optimize", "ATTACH 'x' AS y", "VACUUM"],
)  # fmt: skip
def test_harmful_statements_are_refused_and_the_member_lives(connection, table, sql):
    with pytest.raises(NotSupportedError):
        connection.execute(sql)
    connection.execute("DELETE FROM t WHERE id = 1")
    connection.commit()
    assert ids(connection) == [2, 3]


def test_a_large_temporary_table(connection):
    connection.execute("CREATE TEMP TABLE big (data)")
    connection.executemany("INSERT INTO big VALUES (zeroblob(?))", [(1_000_000,)] * 25)
    assert connection.execute("SELECT count(*) FROM big").fetchone() == (25,)


def test_closed_connections_refuse(connect):
    connection = connect()
    cursor = connection.cursor()
    connection.close()
    connection.close()
    calls = (connection.cursor, connection.commit, lambda: cursor.execute("SELECT 1"))
    for call in calls:
        with pytest.raises(ProgrammingError) as caught:
            call()
        assert caught.value.is_disconnect


def test_closing_rolls_back(connect, connection, table):
    other = connect()
    other.execute("DELETE FROM t")
    other.close()
    connection.execute("INSERT INTO t VALUES (4, 'four')")
    connection.commit()
    assert ids(connection) == [1, 2, 3, 4]


def test_exceptions_are_attributes(connection):
    assert connection.Error is dqlite_dbapi.Error
    assert issubclass(connection.IntegrityError, connection.DatabaseError)
    with pytest.raises(connection.OperationalError):
        connection.execute("SELECT * FROM nothing")


def test_operational_errors_carry_what_happened(connection):
    with pytest.raises(OperationalError) as caught:
        connection.execute("SELECT * FROM nothing")
    assert (caught.value.code, caught.value.name) == (1, "SQLITE_ERROR")


def test_a_name_that_another_begins_with_never_opens_that(connect, single, database):
    connection = connect()
    connection.execute("CREATE TABLE t (a)")
    if connection.server.flavour.exact_names:
        with dqlite_dbapi.connect(single.addresses, database[:-1]) as shorter:
            assert shorter.execute("SELECT name FROM sqlite_schema").fetchall() == []
        shorter.close()
    else:
        with pytest.raises(NotSupportedError):
            dqlite_dbapi.connect(single.addresses, database[:-1])
