"""Peers that break the protocol: a clear error in time, and the connection closed."""

from __future__ import annotations

import struct
import threading
import time

import pytest

import dqlite_dbapi
from dqlite_dbapi import CommitUnknown, Error, NoLeader, ProtocolViolation, Timeout
from tests.support.fakeserver import FakeServer
from tests.support.flows import ScriptedCluster, failure, message, text

DONE, PART = b"\xff" * 8, b"\xee" * 8
RESULT = message(6, bytes(16))


def rows(marker, count=1):
    row = b"\1" + bytes(7) + struct.pack("<q", 5)
    return message(7, struct.pack("<Q", 1) + text("a") + row * count + marker)


def greeting(connection):
    """Answer the flight that opens a database, as a leader of the newest flavour would."""
    host, port = connection.getsockname()
    connection.recv(65536)
    leader = ScriptedCluster({f"{host}:{port}": f"{host}:{port}"})
    connection.sendall(leader.answers(f"{host}:{port}"))


def after_greeting(script):
    def serve(connection):
        greeting(connection)
        connection.recv(65536)
        script(connection)
        connection.recv(1)

    return serve


def drip(connection):
    for byte in RESULT * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.2)


def endless(connection):
    while True:
        connection.sendall(rows(PART, 0))


BAD_ANSWERS = {
    "garbage": lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3),
    "truncated": lambda c: c.sendall(RESULT[:12]) or c.shutdown(2),
    "closed": lambda c: c.shutdown(2),
    "empty body": lambda c: c.sendall(bytes(8)),
    "absurd size": lambda c: c.sendall(struct.pack("<IBBH", 2**31, 6, 0, 0)),
    "wrong type": lambda c: c.sendall(message(3, bytes(8))),
    "unknown type": lambda c: c.sendall(message(99, bytes(8))),
    "silence": lambda c: None,
    "one byte at a time": drip,
    "endless parts": endless,
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=list(BAD_ANSWERS))
@pytest.mark.parametrize("sql", ["SELECT 1", "DELETE FROM t"])
def test_bad_answers(answer, sql, database, driver_connect):
    with FakeServer(after_greeting(answer)) as server:
        connection = driver_connect(server.address, database, timeout=0.5, autocommit=True)
        start = time.monotonic()
        with pytest.raises(Error) as caught:
            connection.execute(sql)
        assert time.monotonic() - start < 5
        assert caught.value.is_disconnect
        if sql != "SELECT 1":
            assert caught.value.is_ambiguous
        connection.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (struct.pack("<Q", 2**40) + DONE, ProtocolViolation),
        (struct.pack("<Q", 1) + b"x" * 8, ProtocolViolation),
        (struct.pack("<Q", 1) + text("a") + b"\7" + bytes(7) + bytes(8) + DONE, ProtocolViolation),
        (struct.pack("<Q", 1) + text("a") + b"\4" + bytes(7) + b"\xff" * 7 + b"\x7f" + DONE,
         ProtocolViolation),
        (struct.pack("<Q", 1) + text("a") + bytes(8), ProtocolViolation),
    ],
    ids=["columns", "names", "value type", "blob size", "no marker"],
)  # fmt: skip
def test_bad_rows(body, kind, database, driver_connect):
    with FakeServer(after_greeting(lambda c: c.sendall(message(7, body)))) as server:
        connection = driver_connect(server.address, database, timeout=1)
        with pytest.raises(kind):
            connection.execute("SELECT 1")
        connection.close()


def test_a_failure_behind_partial_rows_is_understood(database, driver_connect):
    body = struct.pack("<Q", 1) + text("a") + failure(5, "database is locked")[8:]
    reply = rows(PART) + message(0, body)
    with FakeServer(after_greeting(lambda c: c.sendall(reply))) as server:
        connection = driver_connect(server.address, database, timeout=1)
        cursor = connection.execute("SELECT 1")
        assert cursor.fetchone() == (5,)
        with pytest.raises(dqlite_dbapi.Busy):
            cursor.fetchone()
        connection.close()


BAD_GREETINGS = {
    "silence": lambda c: c.recv(65536) and c.recv(1),
    "closed": lambda c: c.recv(65536),
    "garbage": lambda c: c.sendall(b"\0" * 64),
    "banner": lambda c: c.sendall(b"220 mail ready\r\n" * 9),
    "accepted, then nothing read": lambda c: threading.Event().wait(1.0),
}


@pytest.mark.parametrize("script", BAD_GREETINGS.values(), ids=list(BAD_GREETINGS))
def test_peers_that_are_no_members(script, database, driver_connect):
    with FakeServer(script) as server:
        start = time.monotonic()
        with pytest.raises(NoLeader) as caught:
            driver_connect(server.address, database, connect_timeout=0.7)
        assert time.monotonic() - start < 5
        assert server.address in str(caught.value)


def test_a_member_that_does_not_answer_a_write_leaves_it_unknown(database, driver_connect):
    with FakeServer(after_greeting(lambda c: None)) as server:
        connection = driver_connect(server.address, database, timeout=0.3, autocommit=True)
        with pytest.raises(CommitUnknown):
            connection.execute("DELETE FROM t")
        with pytest.raises((Timeout, NoLeader)):
            connection.execute("SELECT 1")
        connection.close()
