"""Peers that are no members, or break the protocol before a database is open there."""

from __future__ import annotations

import struct
import threading
import time
from contextlib import ExitStack

import pytest

from dqlite_dbapi import NoLeader
from tests.dbapi.test_hostile import (
    PART,
    each_byte,
    end,
    header,
    little,
    repeat,
    rows,
    send,
)
from tests.support.fakeserver import FakeServer
from tests.support.flows import ScriptedCluster, message, refusals, server, text

SERVERS = message(3, bytes(8))
OPENED = message(4, bytes(8))
BEGINNING = server("h:1")


def each_part(part):
    def script(connection):
        while True:
            connection.sendall(part)
            time.sleep(0.1)

    return script


def proper():
    return ScriptedCluster({"h:1": "h:1"}).answers("h:1")


GREETINGS = {
    "silence": lambda connection: None,
    "closed": end,
    "zeros": send(bytes(64)),
    "banner": send(b"220 mail ready\r\n" * 9),
    "another type": send(message(7, bytes(8)) * 9),
    "unknown types": send(message(99, bytes(8)) * 9),
    "absurd size": send(header(2**32 - 1, 1)),
    "a large size, and silence": send(header(2**28, 1)),
    "an address without an end": send(message(1, struct.pack("<Q", 1) + b"x" * 64) * 9),
    "an address that is not UTF-8": send(
        message(1, struct.pack("<Q", 1) + b"\xff".ljust(8, b"\0"))
    ),
    "members without end": send(BEGINNING + message(3, struct.pack("<Q", 2**60) + bytes(64))),
    "a member cut short": send(BEGINNING + message(3, struct.pack("<QQ", 1, 1) + text("h:1"))),
    "half of it, closed": lambda c: c.sendall(proper()[:100]) or end(c),
    "half of it, silence": lambda c: c.sendall(proper()[:100]),
    "one byte at a time": each_byte(proper()),
    "welcomes without end": repeat(message(2, bytes(8))),
    "empty parts without end": lambda c: (
        c.sendall(BEGINNING + SERVERS + OPENED) or repeat(rows(PART, 0))(c)
    ),
    "parts without end": lambda c: c.sendall(BEGINNING + SERVERS + OPENED) or repeat(rows(PART))(c),
    "slow parts without end": lambda c: (
        c.sendall(BEGINNING + SERVERS + OPENED) or each_part(rows(PART))(c)
    ),
    "slow answers": each_part(BEGINNING[: len(BEGINNING) // 2]),
    "a damaged row": send(BEGINNING + SERVERS + OPENED + message(7, bytes(8)) * 2),
    "a failure without a code": send(BEGINNING + SERVERS + message(0, b"x" * 64)),
    "accepted, then nothing read": lambda connection: threading.Event().wait(1.0),
}


def after_the_flight(script):
    def serve(connection):
        if connection.recv(65536):
            script(connection)
            while connection.recv(65536):
                continue

    return serve


@pytest.mark.parametrize("script", GREETINGS.values(), ids=list(GREETINGS))
def test_peers_that_are_no_members(script, database, driver_connect, transport):
    with FakeServer(after_the_flight(script), transport.context) as peer:
        with little(), pytest.raises(NoLeader) as caught:
            driver_connect(peer.address, database, connect_timeout=0.3, **transport.options)
        assert peer.address in str(caught.value)


def follower(leader):
    """A member that names `leader()` whenever it is asked."""

    def script(connection):
        connection.sendall(refusals(leader()))

    return after_the_flight(script)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_redirects_in_a_circle(size, database, driver_connect, transport):
    peers: list[FakeServer] = []

    def named(number):
        return lambda: peers[(number + 1) % size].address

    with ExitStack() as stack:
        for number in range(size):
            fake = FakeServer(follower(named(number)), transport.context)
            peers.append(stack.enter_context(fake))
        with little(), pytest.raises(NoLeader):
            driver_connect(peers[0].address, database, connect_timeout=0.3, **transport.options)


@pytest.mark.parametrize(
    "named", ["", "nowhere", "h:99999999", "\x01:1", "[::1", "x" * 70_000 + ":1", "@", "a b:1"]
)
def test_a_redirect_to_no_address(named, database, driver_connect, transport):
    with (
        FakeServer(follower(lambda: named), transport.context) as peer,
        little(),
        pytest.raises(NoLeader),
    ):
        driver_connect(peer.address, database, connect_timeout=0.3, **transport.options)
