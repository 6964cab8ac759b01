"""What CPython's tests of `sqlite3` (test_transactions) ask that dqlite can answer.

Schema changes are part of a transaction here, unless LEGACY_TRANSACTION_CONTROL is asked for.
"""

from __future__ import annotations

import pytest

from dqlite_dbapi import (
    LEGACY_TRANSACTION_CONTROL,
    Busy,
    IntegrityError,
    OperationalError,
)

INSERT = "INSERT INTO t VALUES (1)"


@pytest.fixture
def one(connection):
    """A connection to a database with an empty table `t (i)`."""
    connection.execute("CREATE TABLE t (i)")
    connection.commit()
    return connection


@pytest.fixture
def two(one, connect):
    """Another connection to that database."""
    return connect(busy_timeout=0)


def rows(connection, table="t"):
    return [row[0] for row in connection.execute(f"SELECT * FROM {table}")]


def traced(connection):
    """What the connection says that it runs, from now on."""
    seen = []
    connection.set_trace_callback(seen.append)
    return seen


# -- what opens and ends a transaction


@pytest.mark.parametrize(
    ("sql", "after"),
    [
        ("INSERT INTO t VALUES (6)", [5, 6]),
        ("UPDATE t SET i = 6", [6]),
        ("DELETE FROM t", []),
        ("REPLACE INTO t VALUES (6)", [5, 6]),
        ("WITH x AS (SELECT 6) INSERT INTO t SELECT * FROM x", [5, 6]),
    ],
)
def test_dml_opens_a_transaction(one, two, sql, after):
    one.execute("INSERT INTO t VALUES (5)")
    one.commit()
    one.execute(sql)
    assert one.in_transaction
    assert (rows(one), rows(two)) == (after, [5])
    one.commit()
    assert rows(two) == after


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM t", "PRAGMA user_version", "EXPLAIN SELECT * FROM t"]
)
def test_reading_opens_none(one, sql):
    one.execute(sql).fetchall()
    assert not one.in_transaction


def test_ddl_does_not_commit(one, two):
    one.execute(INSERT)
    one.execute("CREATE TABLE other (j)")
    assert rows(two) == []
    one.rollback()
    with pytest.raises(OperationalError):
        rows(one, "other")


@pytest.mark.parametrize("begin", ["", "BEGIN", "BEGIN IMMEDIATE"])
def test_ddl_is_rolled_back(one, begin):
    if begin:
        one.execute(begin)
    one.execute("CREATE TABLE other (i)")
    one.rollback()
    with pytest.raises(OperationalError):
        rows(one, "other")


def test_a_dropped_table_and_a_pragma_inside(one):
    one.execute(INSERT)
    one.execute("PRAGMA cache_size = 100")
    one.execute("DROP TABLE t")
    one.commit()
    with pytest.raises(OperationalError):
        rows(one)


def test_switching_by_isolation_level(one, two):
    one.execute(INSERT)
    one.isolation_level = None
    assert rows(two) == [1]
    one.execute(INSERT)
    assert rows(two) == [1, 1]
    one.isolation_level = "DEFERRED"
    one.execute(INSERT)
    assert rows(two) == [1, 1]


def test_a_second_writer_is_busy_and_needs_no_rollback(one, two):
    one.execute(INSERT)
    with pytest.raises(Busy):
        two.execute(INSERT)
    one.commit()
    two.execute(INSERT)
    two.commit()
    assert rows(one) == [1, 1]


def test_writers_in_turn_see_what_was_committed(one, two):
    one.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
    one.commit()
    assert rows(two) == [1, 2, 3]
    assert two.execute("DELETE FROM t").rowcount == 3
    two.commit()
    one.executemany("INSERT INTO t VALUES (?)", [(4,), (5,)])
    assert (rows(two), rows(one)) == ([], [4, 5])
    one.commit()
    assert rows(two) == [4, 5]


@pytest.mark.parametrize("how", ["close", "execute", "forget"])
def test_a_rollback_repeats_no_rows(one, how):
    one.executemany("INSERT INTO t VALUES (?)", [(0,), (1,), (2,)])
    one.commit()
    first, second = one.cursor(), one.cursor()
    first.execute("BEGIN")
    first.execute("SELECT i FROM t")
    one.rollback()
    second.execute("SELECT i FROM t")
    if how == "close":
        first.close()
    elif how == "execute":
        first.execute("SELECT i FROM t WHERE i = 1")
    else:
        del first
    assert second.fetchall() == [(0,), (1,), (2,)]


# -- context manager


def test_the_context_manager(one, two):
    with one:
        one.execute(INSERT)
    assert rows(two) == [1]
    one.execute(INSERT)
    with pytest.raises(ZeroDivisionError), one:
        raise ZeroDivisionError
    assert not one.in_transaction
    assert rows(two) == [1]


def test_the_context_manager_rolls_back_when_its_commit_fails(one, two):
    one.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    one.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    one.commit()
    with pytest.raises(IntegrityError), one:
        one.execute("INSERT INTO c VALUES (1)")
    assert not one.in_transaction
    two.execute(INSERT)
    two.commit()


# -- the statements that are sent


@pytest.mark.parametrize(
    ("level", "begin"),
    [
        ("", ["BEGIN DEFERRED"]),
        ("DEFERRED", ["BEGIN DEFERRED"]),
        ("IMMEDIATE", ["BEGIN IMMEDIATE"]),
        ("EXCLUSIVE", ["BEGIN EXCLUSIVE"]),
        (None, []),
    ],
)
@pytest.mark.parametrize("when", ["option", "later"])
def test_isolation_level_chooses_begin(one, connect, level, begin, when):
    connection = connect(isolation_level=level) if when == "option" else connect()
    connection.isolation_level = level
    seen = traced(connection)
    with connection:
        connection.execute(INSERT)
    assert [text.upper() for text in seen] == [
        *begin,
        INSERT.upper(),
        *(["COMMIT"] if begin else []),
    ]


def test_a_trace_callback_can_be_taken_away(one):
    seen = traced(one)
    one.execute("SELECT 'öä€'")
    one.set_trace_callback(None)
    one.execute("SELECT 2")
    assert seen == ["SELECT 'öä€'"]


# -- autocommit


@pytest.mark.parametrize("mode", [True, False, LEGACY_TRANSACTION_CONTROL])
def test_autocommit_is_what_it_was_set_to(connect, mode):
    assert connect(autocommit=mode).autocommit == mode
    connection = connect()
    assert connection.autocommit is False
    connection.autocommit = mode
    assert connection.autocommit == mode


@pytest.mark.parametrize("mode", ["a", 12, (), None])
def test_autocommit_refuses(connection, mode):
    with pytest.raises(ValueError, match="autocommit"):
        connection.autocommit = mode


def test_autocommit_on(one, connect):
    connection = connect(autocommit=True)
    seen = traced(connection)
    with connection:
        connection.execute(INSERT)
        assert not connection.in_transaction
    connection.commit()
    connection.rollback()
    assert seen == [INSERT]


def test_autocommit_switched_on_commits(one, two):
    one.execute(INSERT)
    one.autocommit = True
    assert not one.in_transaction
    assert rows(two) == [1]


def test_autocommit_switched_off_keeps_an_open_transaction(one, two):
    one.autocommit = True
    one.execute("BEGIN")
    one.autocommit = False
    assert one.in_transaction
    one.execute(INSERT)
    one.rollback()
    assert rows(two) == []


# -- sqlite3's own default


@pytest.fixture
def legacy(one, connect):
    return connect(autocommit=LEGACY_TRANSACTION_CONTROL)


def test_legacy_begins_before_dml_only(legacy, two):
    legacy.execute("CREATE TABLE other (i)")
    assert not legacy.in_transaction
    assert rows(two, "other") == []
    legacy.execute(INSERT)
    assert legacy.in_transaction
    legacy.rollback()
    assert rows(two) == []


def test_a_legacy_savepoint_is_a_transaction(legacy, two):
    legacy.execute("SAVEPOINT a")
    assert legacy.in_transaction
    legacy.execute(INSERT)
    legacy.execute("RELEASE a")
    assert not legacy.in_transaction
    assert rows(two) == [1]


def test_isolation_level_steers_legacy_control(legacy, two):
    legacy.isolation_level = None
    legacy.execute(INSERT)
    assert not legacy.in_transaction
    legacy.isolation_level = ""
    legacy.execute(INSERT)
    assert (legacy.autocommit, legacy.in_transaction) == (LEGACY_TRANSACTION_CONTROL, True)
    assert rows(two) == [1]


def test_a_savepoint_is_inside_a_transaction_otherwise(one, two):
    one.execute("SAVEPOINT a")
    one.execute(INSERT)
    one.execute("RELEASE a")
    assert one.in_transaction
    one.rollback()
    assert rows(two) == []
