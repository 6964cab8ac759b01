"""Peers that break the protocol: a clear error in time, little memory, the connection closed.

Each script is what a leader does after a proper greeting; test_hostile_greetings.py has peers that
do not come so far.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
import tracemalloc
from contextlib import ExitStack, contextmanager

import pytest

import dqlite_dbapi
from dqlite_dbapi import (
    CommitUnknown,
    ConnectionLost,
    DataError,
    Error,
    NoLeader,
    OperationalError,
    ProtocolViolation,
    Timeout,
)
from tests.support.fakeserver import FakeServer
from tests.support.flows import CLUSTER, ScriptedCluster, failure, message, text

DONE, PART = b"\xff" * 8, b"\xee" * 8
RESULT = message(6, bytes(16))
MEMORY = 32 << 20
ENOUGH = 1000


def rows(marker, count=1):
    row = b"\1" + bytes(7) + struct.pack("<q", 5)
    return message(7, struct.pack("<Q", 1) + text("a") + row * count + marker)


def greet(connection):
    """Answer the flight that opens a database, as a leader would."""
    host, port = connection.getsockname()
    leader = ScriptedCluster({f"{host}:{port}": f"{host}:{port}"})
    connection.sendall(leader.answers(f"{host}:{port}", connection.recv(65536)))


def greet_as_newest(connection):
    """As `greet`, where a client must not go away between the parts of a result."""
    members = message(3, bytes(8)) if CLUSTER in connection.recv(65536) else b""
    probe = failure(23, "not authorized")
    greeting = [failure(1, "schema"), members, message(4, bytes(8)), probe]
    connection.sendall(b"".join(greeting))


class Peer:
    """A leader that greets properly, then runs `answer` for the first request of a connection."""

    def __init__(self, answer, greet=greet):
        self._answer = answer
        self._greet = greet
        self.opened = self.closed = 0
        self.is_over = threading.Event()

    def __call__(self, connection):
        self.opened += 1
        try:
            self._greet(connection)
            if connection.recv(65536):
                self._answer(connection)
                while connection.recv(65536):
                    continue
        finally:
            self.closed += 1
            if self.closed == self.opened:
                self.is_over.set()


@pytest.fixture
def peer(transport, driver_connect, database):
    """Connect to a peer that answers so; gives the connection and what the peer has seen."""
    with ExitStack() as stack:

        def open_one(answer, greet=greet, **options):
            seen = Peer(answer, greet)
            server = stack.enter_context(FakeServer(seen, transport.context))
            options = {"timeout": 0.25, "autocommit": True, **transport.options, **options}
            connection = driver_connect(server.address, database, **options)
            stack.callback(connection.close)
            return connection, seen

        yield open_one


@contextmanager
def little(seconds=4.0):
    """What happens within takes little time and memory."""
    tracemalloc.start()
    start = time.monotonic()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < seconds
    assert most < MEMORY


def each_byte(raw, pause=0.05):
    def send(connection):
        for byte in raw:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return send


def repeat(raw):
    def send(connection):
        while True:
            connection.sendall(raw)

    return send


def send(raw, then=lambda connection: None):
    return lambda connection: connection.sendall(raw) or then(connection)


def end(connection):
    socket.socket.shutdown(connection, socket.SHUT_RDWR)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise OSError


def below_tls(raw):
    """Bytes on the socket itself: under TLS a record that nobody can read."""
    return lambda connection: socket.socket.sendall(connection, raw)


def header(words, kind):
    return struct.pack("<IBBH", words, kind, 0, 0)


BROKEN, GONE, LATE = ProtocolViolation, (ConnectionLost, Timeout, NoLeader), Timeout
ANSWERS = {
    "garbage": (send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3), BROKEN),
    "half a header, closed": (send(RESULT[:4], end), GONE),
    "half a header, silence": (send(RESULT[:4]), LATE),
    "half a body, closed": (send(RESULT[:12], end), GONE),
    "half a body, silence": (send(RESULT[:12]), LATE),
    "closed": (end, GONE),
    "reset": (reset, GONE),
    "empty body": (send(bytes(8)), BROKEN),
    "absurd size": (send(header(2**31, 6)), BROKEN),
    "the largest size": (send(header(2**32 - 1, 7)), BROKEN),
    "a large size, and silence": (send(header(2**28, 6) + bytes(64)), LATE),
    "another answer's type": (send(message(3, bytes(8))), BROKEN),
    "a type that closes": (send(message(2, bytes(8))), BROKEN),
    "unknown type": (send(message(99, bytes(8))), BROKEN),
    "short RESULT": (send(message(6, bytes(8))), BROKEN),
    "failure without a text": (send(message(0, bytes(8))), BROKEN),
    "failure without an end": (send(message(0, b"x" * 64)), BROKEN),
    "failure with an absurd code": (send(message(0, b"\xff" * 8 + bytes(8))), BROKEN),
    "silence": (lambda connection: None, LATE),
    "one byte at a time": (each_byte(message(6, bytes(160))), LATE),
    "empty parts without end": (repeat(rows(PART, 0)), BROKEN),
}


@pytest.mark.parametrize(("answer", "kind"), ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("sql", ["SELECT 1", "DELETE FROM t"])
def test_bad_answers(answer, kind, sql, peer):
    connection, seen = peer(answer)
    with little(), pytest.raises(Error) as caught:
        connection.execute(sql)
    assert caught.value.is_disconnect
    if sql != "SELECT 1":
        assert caught.value.is_ambiguous
        kind = (CommitUnknown, ProtocolViolation)
    assert isinstance(caught.value, kind)
    assert connection.closed or seen.is_over.wait(5)


def test_a_setting_that_is_not_authorized_is_an_error_of_connecting(peer):
    """Not taken for the probe's answer, which stands right before it."""

    def hello(connection):
        greet_as_newest(connection)
        connection.sendall(failure(23, "not authorized"))

    with pytest.raises(NoLeader):
        peer(end, hello, foreign_keys=True, connect_timeout=0.3)
    connection, _ = peer(send(RESULT), greet_as_newest)
    assert connection.server.flavour.returning == "free"


def one_row(codes, values):
    return struct.pack("<Q", 1) + text("a") + codes.ljust(8, b"\0") + values


ROWS = {
    "no columns are there": struct.pack("<Q", 2**40) + DONE,
    "more columns than bytes": struct.pack("<Q", 30_000) + text("a") + DONE,
    "names without an end": struct.pack("<Q", 1) + b"x" * 8,
    "no marker": struct.pack("<Q", 1) + text("a") + bytes(8),
    "unknown value type": one_row(b"\7", bytes(8) + DONE),
    "blob of an absurd size": one_row(b"\4", b"\xff" * 7 + b"\x7f" + DONE),
    "blob of a negative size": one_row(b"\4", b"\xff" * 16),
    "text without an end": one_row(b"\3", b"x" * 16),
    "a row cut short": one_row(b"\1", b""),
    "more behind the last row": one_row(b"\1", bytes(8) + DONE + bytes(8)),
}


@pytest.mark.parametrize("body", ROWS.values(), ids=list(ROWS))
def test_bad_rows(body, peer):
    connection, seen = peer(send(message(7, body)))
    with little(), pytest.raises(ProtocolViolation) as caught:
        connection.execute("SELECT 1")
    assert caught.value.is_disconnect
    assert seen.is_over.wait(5)


def test_text_that_is_not_utf8_is_an_error_of_that_statement(peer):
    body = one_row(b"\3", b"\xff\xfe\0".ljust(8, b"\0") + DONE)
    connection, _ = peer(send(message(7, body), lambda c: c.recv(100) and c.sendall(RESULT)))
    with pytest.raises(DataError):
        connection.execute("SELECT 1")
    assert connection.execute("DELETE FROM t").rowcount == 0


def test_a_name_that_is_not_utf8_can_be_told_from_others(peer):
    body = struct.pack("<Q", 1) + b"\xff".ljust(8, b"\0") + DONE
    connection, _ = peer(send(message(7, body)))
    assert connection.execute("SELECT 1").description[0][0] == "\udcff"


def test_a_failure_whose_text_is_not_utf8_is_that_failure(peer):
    body = struct.pack("<Q", 1) + b"\xff\0".ljust(8, b"\0")
    connection, _ = peer(send(message(0, body)))
    with pytest.raises(OperationalError) as caught:
        connection.execute("SELECT 1")
    assert caught.value.code == 1
    assert not caught.value.is_disconnect


def test_a_failure_behind_partial_rows_is_understood(peer):
    body = struct.pack("<Q", 1) + text("a") + failure(5, "database is locked")[8:]
    connection, _ = peer(send(rows(PART) + message(0, body)))
    cursor = connection.execute("SELECT 1")
    assert cursor.fetchone() == (5,)
    with pytest.raises(dqlite_dbapi.Busy):
        cursor.fetchone()


SECOND_PARTS = {
    "another type": (send(rows(PART) + RESULT), BROKEN),
    "damaged": (send(rows(PART) + message(7, struct.pack("<Q", 1) + text("a") + bytes(8))), BROKEN),
    "other columns": (send(rows(PART) + message(7, struct.pack("<Q", 2**50) + DONE)), BROKEN),
    "empty, without end": (lambda c: c.sendall(rows(PART)) or repeat(rows(PART, 0))(c), BROKEN),
    "silence": (send(rows(PART)), LATE),
    "closed": (send(rows(PART), end), ConnectionLost),
    "one byte at a time": (lambda c: c.sendall(rows(PART)) or each_byte(rows(DONE, 9))(c), LATE),
}


@pytest.mark.parametrize(("answer", "kind"), SECOND_PARTS.values(), ids=list(SECOND_PARTS))
def test_bad_second_parts(answer, kind, peer):
    connection, seen = peer(answer)
    cursor = connection.execute("SELECT 1")
    with little():
        assert cursor.fetchone() == (5,)
        with pytest.raises(kind) as caught:
            cursor.fetchone()
    assert caught.value.is_disconnect
    assert seen.is_over.wait(5)


@pytest.mark.parametrize("hello", [greet, greet_as_newest])
@pytest.mark.parametrize("leave", ["close", "another statement"])
def test_rows_without_end_can_be_left(leave, hello, peer):
    """They are taken part by part as they are asked for, and given up when nobody wants them."""
    connection, seen = peer(repeat(rows(PART, 200)), hello)
    with little():
        cursor = connection.execute("SELECT 1")
        assert len(cursor.fetchmany(ENOUGH)) == ENOUGH
        cursor.close()
        del cursor
        if leave == "close":
            connection.close()
        else:
            with pytest.raises(Error):
                connection.execute("DELETE FROM t")
    assert leave != "close" or seen.is_over.wait(5)


def test_an_answer_that_comes_too_late_is_nobodys(peer):
    """It arrives after the deadline, on a connection that is not used any more."""
    counts = iter([3, 1])

    def answer(connection):
        count = next(counts)
        time.sleep(0.8 * (count > 1))
        connection.sendall(rows(DONE, count))

    connection, _ = peer(answer, timeout=0.5)
    with little(), pytest.raises(CommitUnknown):
        connection.execute("DELETE FROM t")
    time.sleep(0.4)
    assert connection.execute("SELECT 1").fetchall() == [(5,)]


def test_a_member_that_does_not_answer_a_write_leaves_it_unknown(peer):
    connection, _ = peer(lambda _: None)
    with pytest.raises(CommitUnknown):
        connection.execute("DELETE FROM t")
    with pytest.raises((Timeout, NoLeader)):
        connection.execute("SELECT 1")


RECORDS = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3,
    "a record that is not encrypted": b"\x17\x03\x03\x00\x20" + bytes(32),
    "an alert that is not encrypted": b"\x15\x03\x03\x00\x02\x02\x28",
    "a record of an absurd size": b"\x17\x03\x03\xff\xff" + bytes(64),
}


@pytest.mark.parametrize("transport", ["tls"], indirect=True)
@pytest.mark.parametrize("raw", RECORDS.values(), ids=list(RECORDS))
def test_garbage_in_tls(raw, peer):
    connection, seen = peer(below_tls(raw))
    with little(), pytest.raises(CommitUnknown) as caught:
        connection.execute("DELETE FROM t")
    assert caught.value.is_disconnect
    assert seen.is_over.wait(5)


@pytest.mark.parametrize("transport", ["tls"], indirect=True)
def test_an_end_without_a_word_is_no_end_of_the_answer(peer):
    """A stream that is cut below TLS is a lost connection, whatever came before."""
    connection, _ = peer(send(RESULT[:16], end))
    with pytest.raises(CommitUnknown):
        connection.execute("DELETE FROM t")
