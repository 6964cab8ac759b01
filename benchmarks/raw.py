"""The floor in Python: a bare socket that sends ready-made bytes and looks at none it gets."""

from __future__ import annotations

import socket

from dqlite_dbapi.wire.constants import ROWS_DONE, Request
from dqlite_dbapi.wire.requests import HANDSHAKE, encode

_DONE = ROWS_DONE.to_bytes(8, "little")


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

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
