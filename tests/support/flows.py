"""Drives flows by hand: a cluster made of answers, without sockets or clocks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Any

from dqlite_dbapi.errors import ConnectionLost, Error, Timeout
from dqlite_dbapi.protocol.effects import Limit, Open, Race, RaceResult, Sleep
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import HANDSHAKE, encode

NOT_LEADER = 10250
CLUSTER = encode(Request.CLUSTER, 1)
PROBE = encode(Request.EXEC_SQL, 0, "PRAGMA temp_store = 2; PRAGMA read_uncommitted = 0", ())


def message(kind: int, body: bytes) -> bytes:
    """A response with its header."""
    return struct.pack("<IBBH", len(body) // 8, kind, 0, 0) + body


def text(value: str) -> bytes:
    """A text field."""
    raw = value.encode() + b"\0"
    return raw + bytes(-len(raw) % 8)


def failure(code: int, reason: str) -> bytes:
    """A FAILURE response."""
    return message(0, struct.pack("<Q", code) + text(reason))


def server(address: str) -> bytes:
    """A SERVER response."""
    return message(1, struct.pack("<Q", 1 if address else 0) + text(address))


def _greeting(named: str, flight: bytes) -> bytes:
    listing = struct.pack("<Q", 1) + struct.pack("<Q", 1) + text(named) + bytes(8)
    return server(named) + (message(3, listing) if CLUSTER in flight else b"")


def refusals(named: str, flight: bytes = CLUSTER) -> bytes:
    """What a member that does not lead and names another answers to a flight that opens."""
    refused = failure(NOT_LEADER, "not leader")
    return _greeting(named, flight) + message(4, bytes(8)) + refused


class ScriptedCluster:
    """Answers the flight that opens a database as members would.

    `members` maps an address to the leader it names, to `"refused"` or to `"silent"`. A member
    that names itself leads. Time passes only in `Sleep` and while a silent member is asked.
    """

    def __init__(self, members: dict[str, str], step: Callable[[], None] | None = None) -> None:
        self.members = members
        self.now = 0.0
        self.opened: list[str] = []
        self._step = step

    def clock(self) -> float:
        """Seconds since the start."""
        return self.now

    def run(self, flow: Generator[Any, Any, Any]) -> Any:
        """Drive a flow to its end."""
        address, limit = "", 0.0
        answer: Any = None
        error: Error | None = None
        try:
            while True:
                effect = flow.throw(error) if error else flow.send(answer)
                answer = error = None
                if isinstance(effect, Open):
                    address, limit = effect.address, effect.timeout
                    self.opened.append(address)
                    if self.members.get(address, "refused") == "refused":
                        error = ConnectionLost("refused", address=address)
                elif isinstance(effect, Sleep):
                    self.now += effect.seconds
                    if self._step is not None:
                        self._step()
                elif isinstance(effect, Race):
                    answer = self._race(effect)
                elif not isinstance(effect, Limit):
                    if self.members[address] == "silent":
                        self.now += limit
                        error = Timeout("silent", address=address)
                    else:
                        answer = self.answers(address, effect) if effect else b""
        except StopIteration as stop:
            return stop.value

    def _race(self, race: Race) -> RaceResult:
        errors: list[Error] = []
        for flow in race.flows:
            start = self.now
            try:
                return RaceResult(self.run(flow()), ())
            except Error as error:
                errors.append(error)
                self.now = start
        return RaceResult(None, tuple(errors))

    def answers(self, address: str, flight: bytes = CLUSTER) -> bytes:
        """The answers to the `flight` that opens a database, or just greets, at `address`."""
        named = self.members[address]
        if flight.startswith(HANDSHAKE) and PROBE not in flight:
            return _greeting(named, flight)
        if named != address:
            return refusals(named, flight)
        return _greeting(named, flight) + message(4, bytes(8)) + message(6, bytes(16))
