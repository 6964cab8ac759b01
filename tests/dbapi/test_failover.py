"""Connections through the loss of members; each test has a cluster of its own to hurt."""

from __future__ import annotations

import threading
import time

import pytest

import dqlite_dbapi
from dqlite_dbapi import CommitUnknown, ConnectionLost, Error, NoLeader
from dqlite_node import LocalCluster


@pytest.fixture
def victims():
    with LocalCluster(3) as cluster:
        yield cluster


@pytest.fixture
def connect(driver_connect, victims, database):
    opened = []

    def open_one(addresses=None, **options):
        connection = driver_connect(addresses or victims.addresses, database, **options)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.close()


def index_of(cluster, connection):
    return cluster.addresses.index(connection.server.address)


@pytest.mark.parametrize("autocommit", [False, True])
def test_an_idle_connection_finds_the_new_leader(victims, connect, autocommit):
    connection = connect(autocommit=autocommit)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    old = index_of(victims, connection)
    victims.kill(old)
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]
    assert index_of(victims, connection) != old


def test_members_are_learned_from_the_first_one_that_is_asked(victims, connect):
    leader = victims.wait_leader()
    connection = connect([leader], autocommit=True)
    connection.execute("CREATE TABLE t (a)")
    victims.kill(victims.addresses.index(leader))
    connection.execute("INSERT INTO t VALUES (1)")
    assert connection.server.address != leader


def test_an_open_transaction_is_lost_and_says_so(victims, connect):
    connection = connect()
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.execute("INSERT INTO t VALUES (1)")
    victims.kill(index_of(victims, connection))
    for _ in range(2):
        with pytest.raises(ConnectionLost) as caught:
            connection.execute("INSERT INTO t VALUES (2)")
        assert caught.value.is_retryable
    with pytest.raises(ConnectionLost):
        connection.commit()
    connection.rollback()
    assert connection.execute("SELECT * FROM t").fetchall() == []
    connection.execute("INSERT INTO t VALUES (3)")
    connection.commit()
    assert connection.execute("SELECT * FROM t").fetchall() == [(3,)]


def test_a_commit_to_a_dead_leader_is_known_to_be_lost(victims, connect):
    connection = connect()
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.execute("INSERT INTO t VALUES (1)")
    victims.kill(index_of(victims, connection))
    with pytest.raises(ConnectionLost) as caught:
        connection.commit()
    assert (caught.value.is_ambiguous, caught.value.is_retryable) == (False, True)
    assert connection.execute("SELECT * FROM t").fetchall() == []


def test_settings_survive_a_reconnect(victims, connect):
    connection = connect(foreign_keys=False)
    connection.execute("PRAGMA recursive_triggers = 1")
    victims.kill(index_of(victims, connection))
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
    assert connection.execute("PRAGMA recursive_triggers").fetchone() == (1,)


def test_a_transfer_of_leadership_goes_unnoticed(victims, connect):
    connection = connect(autocommit=True)
    connection.execute("CREATE TABLE t (a)")
    with dqlite_dbapi.Client(victims.addresses) as client:
        for number in range(3):
            client.transfer()
            connection.execute("INSERT INTO t VALUES (?)", (number,))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


@pytest.mark.parametrize("leader", [True, False])
def test_a_frozen_member_delays_little(victims, connect, leader):
    current = victims.leader_index()
    victims.pause(current if leader else (current + 1) % 3)
    try:
        start = time.monotonic()
        connect(victims.addresses).execute("SELECT 1")
        assert time.monotonic() - start < 5
    finally:
        victims.resume(current if leader else (current + 1) % 3)


@pytest.mark.parametrize("sql", ["SELECT * FROM t", "INSERT INTO t VALUES (1)"])
def test_without_a_quorum_nothing_hangs(victims, connect, sql):
    connection = connect(timeout=2, autocommit=True)
    connection.execute("CREATE TABLE t (a)")
    victims.kill(index_of(victims, connection))
    other = next(n for n, member in enumerate(victims.members) if member.is_running)
    victims.kill(other)
    start = time.monotonic()
    with pytest.raises(Error) as caught:
        connection.execute(sql)
    assert time.monotonic() - start < 10
    assert caught.value.is_disconnect
    with pytest.raises(NoLeader):
        connect(connect_timeout=0.5)
    victims.restart(other)
    assert connect().execute("SELECT count(*) FROM t").fetchone()[0] in (0, 1)


def test_no_acknowledged_row_is_lost_or_doubled(victims, connect):
    """A writer with unique rows, and the leader killed twice under it."""
    connection = connect(autocommit=True)
    connection.execute("CREATE TABLE t (a)")
    acknowledged, unknown, stop = [], [], threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            try:
                connection.execute("INSERT INTO t VALUES (?)", (number,))
            except CommitUnknown:
                unknown.append(number)
            else:
                acknowledged.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(2):
        wait_for_rows(acknowledged, 50)
        leader = victims.leader_index()
        victims.kill(leader)
        wait_for_rows(acknowledged, 50)
        victims.restart(leader)
    stop.set()
    writer.join()
    rows = [row[0] for row in connection.execute("SELECT a FROM t")]
    assert len(rows) == len(set(rows))
    assert set(acknowledged) <= set(rows) <= set(acknowledged) | set(unknown)


def wait_for_rows(acknowledged, more):
    goal = len(acknowledged) + more
    deadline = time.monotonic() + 30
    while len(acknowledged) < goal:
        assert time.monotonic() < deadline
        time.sleep(0.01)
