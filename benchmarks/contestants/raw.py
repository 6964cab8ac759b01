"""The floor in Python: a bare socket, or a bare asyncio Protocol, that sends ready-made bytes and
looks at none it gets. Usage: raw.py socket|asyncio ADDRESSES DATABASE.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable

import harness
from harness import Reply, once, repeat

from dqlite_dbapi.wire.constants import ROWS_DONE, Request
from dqlite_dbapi.wire.requests import HANDSHAKE, encode

_DONE = ROWS_DONE.to_bytes(8, "little")
_SELECT_1 = encode(Request.QUERY_SQL, 0, "SELECT 1", ())


class RawConnection:
    """One open database on the leader; only for results that end with DONE."""

    def __init__(self, address: str, database: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(HANDSHAKE + encode(Request.OPEN, database, 0, ""))
        self._socket.recv(64)

    def query(self, message: bytes) -> int:
        """Send a QUERY_SQL message and read until DONE; returns the bytes received."""
        self._socket.sendall(message)
        received = 0
        chunk = self._socket.recv(65536)
        while chunk:
            received += len(chunk)
            if chunk.endswith(_DONE):
                break
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            chunk = self._socket.recv(65536)
        return received

    def execute(self, message: bytes) -> bytes:
        """Send a message whose answer is short, and read that."""
        self._socket.sendall(message)
        return self._socket.recv(65536)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Blocking:
    """One raw connection, and an operation a method."""

    def __init__(self, address: str, database: str) -> None:
        self._target = (address, database)
        self._connection = RawConnection(address, database)

    def _connect_once(self) -> None:
        connection = RawConnection(*self._target)
        connection.query(_SELECT_1)
        connection.close()

    def connect(self, n: int, _: int) -> Reply:
        """Open, SELECT 1, close."""
        return repeat(self._connect_once, n)

    def select1(self, n: int, _: int) -> Reply:
        """SELECT 1."""
        query = self._connection.query
        return repeat(lambda: query(_SELECT_1), n)

    def insert(self, n: int, _: int) -> Reply:
        """One row, in autocommit."""
        message = encode(Request.EXEC_SQL, 0, harness.INSERT, ("item number 1",))
        execute = self._connection.execute
        return repeat(lambda: execute(message), n)

    def fetch(self, n: int, m: int) -> Reply:
        """`n` rows of 4 columns, not decoded, `m` times."""
        message = encode(Request.QUERY_SQL, 0, harness.FETCH, (n,))
        return once(lambda: self._connection.query(message), n, m or 1)

    def blob_read(self, n: int, _: int) -> Reply:
        """A blob of `n` bytes, thrown away."""
        message = encode(Request.QUERY_SQL, 0, harness.BLOB_READ, ())
        return once(lambda: self._connection.query(message), n)

    def blob_write(self, n: int, _: int) -> Reply:
        """A blob of `n` bytes, encoded beforehand."""
        message = encode(Request.EXEC_SQL, 0, harness.BLOB_WRITE, (bytes(n),))
        return once(lambda: self._connection.execute(message), n)


class _Echo(asyncio.Protocol):
    """Wakes one future when a whole reply is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        if data.endswith(_DONE) and self.waiter is not None:
            self.waiter.set_result(None)
            self.waiter = None


class Looping:
    """One bare Protocol, and an operation a method."""

    def __init__(self, address: str, database: str) -> None:
        host, _, port = address.rpartition(":")
        self._loop = asyncio.new_event_loop()
        making: Callable[[], _Echo] = _Echo
        self._transport, self._protocol = self._loop.run_until_complete(
            self._loop.create_connection(making, host, int(port))
        )
        self._transport.write(HANDSHAKE + encode(Request.OPEN, database, 0, ""))

    async def _rounds(self, n: int) -> Reply:
        import aio

        protocol, transport, loop = self._protocol, self._transport, self._loop

        async def ask() -> None:
            protocol.waiter = loop.create_future()
            transport.write(_SELECT_1)
            await protocol.waiter

        return await aio.repeat(ask, n)

    def select1(self, n: int, _: int) -> Reply:
        """SELECT 1."""
        return self._loop.run_until_complete(self._rounds(n))


if __name__ == "__main__":
    made = {"socket": Blocking, "asyncio": Looping}[sys.argv[1]]
    harness.serve(made(sys.argv[2].split(",")[0], sys.argv[3]))
