"""What users of `sqlite3` expect beyond PEP 249: scripts, isolation levels, counters, scrolling."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time

import pytest

import dqlite_dbapi
from dqlite_dbapi import (
    NUMBER,
    STRING,
    Error,
    Interrupted,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Timeout,
)

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
SERIES = NUMBERS + "SELECT i FROM n"
LONG = NUMBERS.format(4_000_000) + "SELECT count(*) FROM n"


def count(connection):
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


# -- executescript


def test_a_script_runs_statement_by_statement(connection, table):
    connection.executescript(
        """-- a comment; with a semicolon
        CREATE TABLE u (a); INSERT INTO u VALUES ('x;y');
        CREATE TRIGGER g AFTER INSERT ON u BEGIN DELETE FROM t; SELECT 1; END;
        INSERT INTO u VALUES (2); SELECT * FROM u"""
    )
    assert not connection.in_transaction
    assert count(connection) == 0


def test_a_script_commits_what_was_open(connect, connection, table):
    connection.execute("DELETE FROM t WHERE id = 1")
    connection.executescript("SELECT 1")
    assert count(connect()) == 2


def test_a_script_may_be_one_transaction(connect, connection, table):
    with pytest.raises(Error):
        connection.executescript("BEGIN; DELETE FROM t; SELECT * FROM nothing; COMMIT")
    connection.rollback()
    assert count(connect()) == 3


# -- isolation level and autocommit


def test_isolation_level_none_is_autocommit(connect, connection, table):
    assert connection.isolation_level == ""
    connection.execute("DELETE FROM t WHERE id = 1")
    connection.isolation_level = None
    assert (connection.isolation_level, connection.autocommit) == (None, True)
    connection.execute("DELETE FROM t WHERE id = 2")
    assert count(connect()) == 1
    connection.isolation_level = "IMMEDIATE"
    connection.execute("DELETE FROM t WHERE id = 3")
    assert (connection.in_transaction, connection.autocommit) == (True, False)


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({}, ""),
        ({"isolation_level": None}, None),
        ({"isolation_level": "exclusive"}, "EXCLUSIVE"),
        ({"autocommit": True}, None),
        ({"autocommit": -1}, ""),
        ({"begin": "immediate"}, "IMMEDIATE"),
    ],
)
def test_isolation_level_as_an_option(connect, options, level):
    assert connect(**options).isolation_level == level


@pytest.mark.parametrize(("name", "value"), [("isolation_level", "DIRTY"), ("autocommit", 7)])
def test_impossible_modes_are_refused(connection, name, value):
    with pytest.raises(ValueError, match=str(value)):
        setattr(connection, name, value)


# -- counters, description, scroll


def test_total_changes(connection, table):
    before = connection.total_changes
    connection.execute("UPDATE t SET value = 1")
    connection.executemany("DELETE FROM t WHERE id = ?", [(1,), (2,)])
    connection.execute("CREATE TABLE u (a)")
    assert connection.total_changes - before == 5


def test_description_tells_types(connection):
    cursor = connection.execute("SELECT 1, 'a', NULL")
    number, string, null = (column[1] for column in cursor.description)
    assert number == NUMBER
    assert string == STRING
    assert null not in (NUMBER, STRING)
    empty = connection.execute("SELECT 1 WHERE 0").description
    assert [column[:2] for column in empty] == [("1", None)]


def test_rownumber_and_scroll(connection):
    cursor = connection.cursor()
    assert cursor.rownumber is None
    cursor.execute(SERIES.format(9))
    assert cursor.fetchmany(3) == [(0,), (1,), (2,)]
    assert cursor.rownumber == 3
    cursor.scroll(-2)
    assert cursor.fetchone() == (1,)
    cursor.scroll(8, "absolute")
    assert (cursor.fetchone(), cursor.rownumber) == ((8,), 9)
    for distance, mode in ((5, "relative"), (-1, "absolute")):
        with pytest.raises(IndexError):
            cursor.scroll(distance, mode)
    with pytest.raises(ProgrammingError):
        cursor.scroll(0, "sideways")


def test_scroll_through_a_result_of_many_parts(connection):
    cursor = connection.execute(SERIES.format(20_000))
    cursor.scroll(15_000)
    assert cursor.fetchone() == (15_000,)
    cursor.fetchmany(4_000)
    cursor.fetchall()
    with pytest.raises(NotSupportedError):
        cursor.scroll(0, "absolute")


# -- watching


def test_statements_are_traced(connection, table):
    seen = []
    connection.set_trace_callback(seen.append)
    connection.execute("SELECT ? AS x", (1,))
    connection.set_trace_callback(None)
    connection.execute("SELECT 2")
    assert seen == ["SELECT ? AS x"]


def test_slow_statements_are_logged_without_their_values(connect, caplog):
    with caplog.at_level(logging.WARNING, "dqlite_dbapi"):
        connect(slow_query=0).execute("SELECT ?", ("hunter2",))
    assert "SELECT ?" in caplog.text
    assert "hunter2" not in caplog.text


def test_events_are_told(connect):
    seen = []
    connection = connect(events=seen.append)
    assert [(event.kind, event.address) for event in seen] == [
        ("connect", connection.server.address)
    ]


def test_a_listener_that_fails_harms_nothing(connect, caplog):
    with caplog.at_level(logging.ERROR, "dqlite_dbapi"):
        assert connect(events=lambda event: 1 / 0).execute("SELECT 1").fetchone() == (1,)
    assert "ZeroDivisionError" in caplog.text


# -- time and cancelling


def test_a_call_s_timeout(connection):
    connection.timeout = 0.2
    with pytest.raises(Timeout):
        connection.execute(LONG)
    connection.timeout = 30
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_s_timeout(connect, table):
    connection = connect(transaction_timeout=0.3)
    connection.execute("DELETE FROM t WHERE id = 1")
    time.sleep(0.4)
    with pytest.raises(Timeout):
        connection.execute("DELETE FROM t WHERE id = 2")
    connection.rollback()
    time.sleep(0.4)
    connection.execute("DELETE FROM t WHERE id = 3")
    connection.commit()
    assert count(connection) == 2


@pytest.mark.parametrize("inside", [False, True], ids=["idle", "in a transaction"])
def test_cancel(connection, table, inside):
    if inside:
        connection.execute("DELETE FROM t")
    timer = threading.Timer(0.2, connection.cancel)
    timer.start()
    with pytest.raises(Interrupted) as caught:
        connection.execute(LONG)
    timer.join()
    assert isinstance(caught.value, OperationalError)
    assert caught.value.is_disconnect
    assert caught.value.name == "SQLITE_INTERRUPT"
    connection.rollback()
    assert count(connection) == 3


def test_cancelling_nothing_does_nothing(connection, table):
    connection.execute("DELETE FROM t")
    connection.interrupt()
    assert connection.in_transaction
    assert count(connection) == 0


def test_the_module_has_sqlite3_s_constant():
    assert dqlite_dbapi.LEGACY_TRANSACTION_CONTROL == -1


# -- consistency


@pytest.mark.parametrize("autocommit", [False, True])
def test_linearizable_reads(connect, table, autocommit):
    connection = connect(consistency="linearizable", autocommit=autocommit)
    assert connection.execute("SELECT id FROM t").fetchall() == [(1,), (2,), (3,)]
    assert not connection.in_transaction
    assert len(connection.execute(SERIES.format(20_000)).fetchall()) == 20_001
    connection.execute("DELETE FROM t WHERE id = 1")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)
    assert connection.in_transaction is not autocommit


def test_consistency_per_statement(connection, table):
    cursor = connection.execute("SELECT count(*) FROM t", consistency="linearizable")
    assert cursor.fetchone() == (3,)
    with pytest.raises(OperationalError):
        connection.execute("SELECT * FROM nothing", consistency="linearizable")
    assert not connection.in_transaction
    with pytest.raises(ProgrammingError):
        connection.execute("SELECT 1", consistency="wishful")


def test_stale_reads_come_from_a_snapshot(connect, table):
    connection = connect(consistency="stale", staleness=60)
    assert connection.execute("SELECT * FROM t WHERE id > ?", (1,)).fetchall() == [
        (2, "two"),
        (3, "three"),
    ]
    connection.execute("DELETE FROM t")
    connection.commit()
    sql = "SELECT count(*) FROM t WHERE value <> :value"
    assert connection.execute(sql, {"value": "one"}).fetchone() == (2,)
    assert connection.execute(sql, {"value": ""}, consistency="leader").fetchone() == (0,)
    with pytest.raises(OperationalError):
        connection.execute("SELECT * FROM nothing")


def test_a_snapshot_that_is_too_old_is_taken_anew(connect, table):
    connection = connect(consistency="stale", staleness=0)
    connection.execute("DELETE FROM t")
    connection.commit()
    give_up = time.monotonic() + 5
    while count(connection):
        assert time.monotonic() < give_up


def test_iterdump(connection, table):
    script = "\n".join(connection.iterdump())
    copy = sqlite3.connect(":memory:")
    copy.executescript(script)
    assert copy.execute("SELECT * FROM t").fetchall()[0] == (1, "one")
    copy.close()
