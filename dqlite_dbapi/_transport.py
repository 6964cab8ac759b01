"""What asyncio's callbacks are turned into for the asyncio runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from dqlite_dbapi.errors import ConnectionLost, Error

#: Bytes that may wait for the program before the member is made to wait.
_READ_AHEAD = 1 << 20


def lost(error: Exception | None) -> Error:
    """The error for a connection that asyncio says is lost."""
    return ConnectionLost(str(error) if error else "the member closed the connection")


class Wire(asyncio.Protocol):
    """Turns asyncio's callbacks into one future at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[bytes] | None = None
        self.writable: asyncio.Future[None] | None = None  # to wait for before more is written
        self._paused = False
        self._transport: asyncio.Transport
        self.quickack: Callable[[], None] | None = None
        self.lost: Error | None = None
        self.explain: Callable[[Exception | None], Error] = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand a chunk to whoever waits, else keep it (asyncio)."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._waiter = None
            waiter.set_result(data)
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _READ_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Close: a member that has shut down its side answers no more (asyncio)."""
        self.fail(self.explain(None))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the reason on (asyncio)."""
        self.fail(self.explain(exc))

    def pause_writing(self) -> None:
        """The socket is full (asyncio)."""
        self.writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The socket takes more (asyncio)."""
        waiter, self.writable = self.writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: Error) -> None:
        """Fail whoever waits, now and later; the first reason stays."""
        self.lost = self.lost or error
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(self.lost)
        self.resume_writing()

    def send(self, message: bytes) -> None:
        """Write without waiting; raises the reason if the connection is lost."""
        if self.lost is not None:
            raise self.lost
        self._transport.write(message)

    def receive(self) -> asyncio.Future[bytes]:
        """The next chunk, as a future."""
        waiter: asyncio.Future[bytes] = self._loop.create_future()
        if self._chunks:
            waiter.set_result(b"".join(self._chunks))
            self._chunks.clear()
            self._size = 0
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
        elif self.lost is not None:
            waiter.set_exception(self.lost)
        else:
            self._waiter = waiter
        return waiter

    def take_back(self, chunk: bytes) -> None:
        """Keep the end of a received chunk for the next `receive`."""
        self._chunks.insert(0, chunk)
        self._size += len(chunk)

    @property
    def is_idle(self) -> bool:
        """True while nothing has come that nobody asked for."""
        return not self._chunks and self.lost is None
