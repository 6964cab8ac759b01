"""The blocking runner: cancelling it from another thread, closing it, socket options."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress

import pytest

import dqlite_dbapi
from dqlite_dbapi import ConnectionLost, Error, Interrupted, NoLeader
from dqlite_dbapi._sockets import tune
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.protocol.effects import Open, Race, Sleep
from tests.support.fakeserver import FakeServer
from tests.support.flows import ScriptedCluster, message, text

SOON = 5.0  # seconds; what is cancelled would last longer


@pytest.fixture
def driver_connect():
    return dqlite_dbapi.connect


@contextmanager
def later(action, delay=0.1):
    """Run `action` on another thread after `delay` seconds; the block must end soon after."""
    start = time.monotonic()
    timer = threading.Timer(delay, action)
    timer.start()
    yield
    assert time.monotonic() - start < SOON
    timer.join()


def answer_until_asked(peer):
    """A leader that answers the flight that opens a database, and nothing else."""
    peer.sendall(ScriptedCluster({"m:1": "m:1"}).answers("m:1", peer.recv(65536)))
    while peer.recv(65536):
        continue


@pytest.fixture
def silent(database):
    """A connection to a leader that answers no statement."""
    with FakeServer(answer_until_asked) as server:
        connection = dqlite_dbapi.connect(server.address, database, autocommit=True)
        yield connection
        connection.close()


@pytest.fixture
def full():
    """An address whose queue is full: dialling it neither fails nor succeeds."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = []
    for _ in range(4):
        filling.append(socket.socket())
        filling[-1].setblocking(False)
        filling[-1].connect_ex(listener.getsockname())
    host, port = listener.getsockname()
    yield f"{host}:{port}"
    for each in (*filling, listener):
        each.close()


# -- cancel and close


@pytest.mark.parametrize(
    ("sql", "expected"),
    [("SELECT 1", Interrupted), ("DELETE FROM t", dqlite_dbapi.CommitUnknown)],
)
def test_cancel_while_an_answer_is_awaited(sql, expected, silent):
    with later(silent.cancel), pytest.raises(expected) as caught:
        silent.execute(sql)
    assert caught.value.is_disconnect
    assert not caught.value.is_retryable


def test_cancel_while_a_request_is_sent(silent, database):
    stop = threading.Event()

    def answer(peer):
        peer.sendall(ScriptedCluster({"m:1": "m:1"}).answers("m:1", peer.recv(65536)))
        stop.wait(10)

    with FakeServer(answer) as server:
        connection = dqlite_dbapi.connect(server.address, database)
        with later(connection.cancel), pytest.raises(Interrupted):
            connection.execute("SELECT ?", (bytes(50_000_000),))
        connection.close()
        stop.set()


def test_cancel_while_another_writer_is_waited_for(connection, table):
    connection.execute("INSERT INTO t (value) VALUES ('held')")
    address, database = connection.server.address, connection.options.database
    other = dqlite_dbapi.connect(address, database, busy_timeout=60.0, timeout=60.0)
    with later(other.cancel), pytest.raises(Interrupted):
        other.execute("INSERT INTO t (value) VALUES ('waiting')")
    connection.rollback()
    other.rollback()
    other.execute("INSERT INTO t (value) VALUES ('after')")
    other.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)
    other.close()


@pytest.fixture
def runner():
    made = SyncIO()
    yield made
    made.close()


def opening(address, timeout=60.0):
    yield Open(address, timeout)
    return (yield b"question")


def sleeping():
    yield Sleep(60.0)


def racing(*flows):
    return (yield Race(flows, 16)).value


@pytest.mark.parametrize("wrap", [lambda flow: flow(), racing], ids=["alone", "in a race"])
@pytest.mark.parametrize("what", ["dialling", "sleeping", "waiting for an answer"])
@pytest.mark.parametrize("how", ["cancel", "close"])
def test_every_wait_can_be_ended(wrap, what, how, runner, full):
    with FakeServer(lambda peer: peer.recv(65536) and peer.recv(1)) as server:
        flows = {
            "dialling": lambda: opening(full),
            "sleeping": sleeping,
            "waiting for an answer": lambda: opening(server.address),
        }
        with later(getattr(runner, how)), pytest.raises(Interrupted):
            runner.run(wrap(flows[what]))


def test_a_flow_that_was_cancelled_cannot_go_on(runner):
    def stubborn():
        for _ in range(3):
            with pytest.raises(Interrupted):
                yield Sleep(60.0)
        return "end"

    with later(runner.cancel):
        assert runner.run(stubborn()) == "end"


def test_cancel_between_two_calls_changes_nothing(connection, table):
    connection.execute("INSERT INTO t (value) VALUES ('kept')")
    for _ in range(3):
        connection.cancel()
    connection.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_a_connection_is_usable_after_a_cancel_whenever_it_came(connect, table):
    connection = connect(autocommit=True)
    over = threading.Event()

    def disturb():
        while not over.wait(0.002):
            connection.cancel()

    thread = threading.Thread(target=disturb)
    thread.start()
    outcomes = set()
    for number in range(200):
        try:
            outcomes.add(connection.execute("SELECT ?", (number,)).fetchone() == (number,))
        except Interrupted:
            outcomes.add("interrupted")
    over.set()
    thread.join()
    assert outcomes <= {True, "interrupted"}
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_close_ends_a_call_in_another_thread(silent):
    with later(silent.close), pytest.raises(Error) as caught:
        silent.execute("SELECT 1")
    assert caught.value.is_disconnect
    with pytest.raises(Error):
        silent.execute("SELECT 1")


def test_no_descriptor_is_left_open(silent, full, runner):
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for flow in (lambda: opening(full), lambda: opening("127.0.0.1:1"), lambda: racing(sleeping)):
        with later(runner.close, 0.05), pytest.raises(Error):
            runner.run(flow())
    deadline = time.monotonic() + SOON
    while count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count() == before


@pytest.mark.parametrize("address", ["a..b:1", f"{'x' * 70}.example:1", "nobody.invalid:1"])
def test_a_host_that_is_no_name(address, runner):
    with pytest.raises(ConnectionLost):
        runner.run(opening(address))


# -- socket options


@pytest.mark.parametrize(
    ("keepalive", "user_timeout", "expected"),
    [(15.0, 30.0, (1, 15, 30_000)), (0.5, 0.0001, (1, 1, 1)), (1e8, 1e8, (1, 32767, 2**31 - 1))],
)
def test_keepalive_and_user_timeout(keepalive, user_timeout, expected):
    with socket.socket() as fresh:
        tune(fresh, keepalive, user_timeout)
        assert expected == (
            fresh.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            fresh.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            fresh.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        )


def test_zero_leaves_them_to_the_system(connect):
    connection = connect(keepalive=0, tcp_user_timeout=0)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_no_leader_in_a_race_names_every_reason(database, full):
    start = time.monotonic()
    with pytest.raises(NoLeader) as caught:
        dqlite_dbapi.connect([full, "127.0.0.1:1"], database, connect_timeout=1.0)
    assert time.monotonic() - start < SOON
    assert full in str(caught.value)


def test_cancel_while_short_parts_of_a_result_come(database):
    """The C part gathers them, and must not take the end of the stream for a lost connection."""
    part = struct.pack("<Q", 1) + text("a") + b"\1".ljust(8, b"\0") + bytes(8) + b"\xee" * 8

    def answer(peer):
        peer.sendall(ScriptedCluster({"m:1": "m:1"}).answers("m:1", peer.recv(65536)))
        peer.recv(65536)
        with suppress(OSError):
            while True:
                peer.sendall(message(7, part))
                time.sleep(0.001)

    with FakeServer(answer) as server:
        connection = dqlite_dbapi.connect(server.address, database, autocommit=True)
        with later(connection.cancel), pytest.raises(Interrupted):
            for _ in connection.execute("SELECT 1"):
                pass
        connection.close()


# -- sockets of another kind


class Counted(socket.socket):
    """A socket as libraries such as gevent put in the place of the standard one."""

    received = 0

    def recv(self, *arguments):
        Counted.received += 1
        return super().recv(*arguments)


def test_a_socket_that_receives_in_its_own_way_is_asked(single, database, monkeypatch):
    monkeypatch.setattr(socket, "socket", Counted)
    connection = dqlite_dbapi.connect(single.addresses, database, autocommit=True)
    before = Counted.received
    assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert Counted.received > before
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(2000)])
    assert connection.execute("SELECT count(*), sum(a) FROM t").fetchone() == (2000, 1999000)
    assert len(connection.execute("SELECT a FROM t").fetchall()) == 2000
    connection.close()
