"""`begin_transaction`: a token for frameworks that commit by themselves, sync and asyncio."""

from __future__ import annotations

from functools import partial

import pytest

from dqlite_dbapi import Busy, CommitUnknown, ProgrammingError


@pytest.fixture
def connect(driver_open, proxy):
    """Open connections through the proxy."""
    return partial(driver_open, [proxy.address])


@pytest.fixture
def connection(connect):
    connection = connect()
    connection.execute("CREATE TABLE t (value)")
    connection.commit()
    return connection


def count(connection):
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_token_tells_what_became_of_the_transaction(driver, connection, end):
    token = driver.begin(connection)
    assert connection.in_transaction
    connection.execute("INSERT INTO t VALUES (1)")
    getattr(connection, end)()
    assert driver.was_applied(connection, token) is (end == "commit")
    assert count(connection) == (end == "commit")


@pytest.mark.parametrize(("mishap", "applied"), [("answer", True), ("request", False)])
def test_a_lost_answer_to_commit(driver, connection, proxy, mishap, applied):
    token = driver.begin(connection)
    connection.execute("INSERT INTO t VALUES (1)")
    proxy.mishaps[:] = [mishap]
    with pytest.raises(CommitUnknown):
        connection.commit()
    assert driver.was_applied(connection, token) is applied
    assert count(connection) == applied


def test_it_needs_a_transaction_of_its_own(driver, connection):
    connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ProgrammingError):
        driver.begin(connection)
    assert connection.in_transaction
    connection.commit()
    assert count(connection) == 1


def test_a_database_that_stays_busy_leaves_no_transaction(driver, connection, connect):
    connection.execute("BEGIN IMMEDIATE")
    late = connect(busy_timeout=0.05)
    with pytest.raises(Busy):
        driver.begin(late)
    assert not late.in_transaction
    connection.rollback()
    token = driver.begin(late)
    late.rollback()
    assert driver.was_applied(connection, token) is False
