"""Has a member that came back caught up? Told by what it has been sent and has not read yet.

A leader sends all entries that a member lacks with each heartbeat, until the first answer. The
member lags behind by what waits in its socket. If another one stops then, the leader needs this
member's answers, and nothing is acknowledged until it is through.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from dqlite_dbapi import Client
from dqlite_node.errors import ClusterJoinError, NodeNotRunningError
from dqlite_node.settings import Settings

QUIET = 0.5  #: seconds in which nothing must have piled up
FEW = 64 * 1024  #: bytes that are no pile
TICK = 0.02
_ESTABLISHED = "01"


def unread(pid: int, port: int) -> int:
    """Bytes that wait to be read in the connections to `port`, where process `pid` is."""
    total = 0
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        except OSError:  # no IPv6, or the process is gone
            continue
        for line in lines:
            _, local, _, state, queues, *_ = line.split()
            if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                total += int(queues.rpartition(":")[2], 16)
    return total


class Hosted(Protocol):
    """The part of a `Node` that is asked here."""

    @property
    def address(self) -> str:
        """Where it is reached."""

    @property
    def bind_address(self) -> str:
        """Where it listens."""

    @property
    def pid(self) -> int | None:
        """Its process, if it runs."""


class Level:
    """Watches one member; `look` now and then, from when it knows its leader."""

    def __init__(self, address: str) -> None:
        """`address` is where the member listens."""
        self._port = int(address.rpartition(":")[2])
        self._piled = time.monotonic()

    def look(self, pid: int) -> bool:
        """Whether nothing has piled up for a while, as far as was looked."""
        now = time.monotonic()
        if unread(pid, self._port) > FEW:
            self._piled = now
        return now - self._piled >= QUIET


def await_level(node: Hosted, settings: Settings, timeout: float) -> None:
    """Wait until the member knows a leader and then has nothing piled up.

    NoLeader, NodeNotRunningError, or ClusterJoinError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    if node.pid is not None:
        with Client(node.address, timeout=timeout, **settings.client_options) as client:
            client.leader()
    level = Level(node.bind_address)
    while (pid := node.pid) is not None:
        if level.look(pid):
            return
        if time.monotonic() > deadline:
            raise ClusterJoinError(
                f"member {node.address} has not caught up after {timeout} s", address=node.address
            )
        time.sleep(TICK)
    raise NodeNotRunningError(f"member {node.address} does not run", address=node.address)
