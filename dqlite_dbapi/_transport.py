"""What asyncio's callbacks are turned into for the asyncio runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, cast

from dqlite_dbapi.errors import ConnectionLost, Error

#: Bytes that may wait for the program before the member is made to wait.
_READ_AHEAD = 1 << 20
#: Bytes taken at once. The memory is used as far as answers are long.
_CHUNK = 1 << 17


def lost(error: Exception | None) -> Error:
    """The error for a connection that asyncio says is lost."""
    return ConnectionLost(str(error) if error else "the member closed the connection")


class Answer:
    """The next chunk, or how many bytes came, for one task: what asyncio calls future-like.

    A future would have the loop resume the task in its next turn, after one more look at all
    sockets. Here the callback that brings the chunk resumes it: a fifth of a call's time.
    """

    __slots__ = ("_asyncio_future_blocking", "_chunk", "_context", "_error", "_loop", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._chunk: Any = None
        self._error: BaseException | None = None
        self._wake: Callable[[Any], object] | None = None
        self._context: Context | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def done(self) -> bool:
        """Whether there is a chunk, or an error instead."""
        return self._chunk is not None or self._error is not None

    def result(self) -> Any:
        """What came; raises an error that came instead."""
        if self._error is not None:
            raise self._error
        if self._chunk is None:
            raise asyncio.InvalidStateError("there is no answer yet")
        return self._chunk

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop (asyncio)."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Keep how the one task that waits is resumed (asyncio)."""
        self._wake, self._context = callback, context

    def cancel(self, msg: object = None) -> bool:
        """Have the task that waits see a cancellation (asyncio)."""
        return self.set_exception(asyncio.CancelledError(*([] if msg is None else [msg])))

    def set_exception(self, error: BaseException) -> bool:
        """Fail whoever waits, in the loop's next turn; False if it was done."""
        if self.done():
            return False
        self._error = error
        self._wake_soon()
        return True

    def set_result(self, chunk: bytes | int) -> None:
        """Hand it over, and resume the task that waits unless another one is running."""
        self._chunk = chunk
        wake, context = self._wake, self._context
        if wake is None:
            return
        if context is None or asyncio.current_task(self._loop) is not None:
            self._wake_soon()
            return
        self._wake = None
        context.run(wake, self)

    def _wake_soon(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            self._loop.call_soon(wake, self, context=self._context)


class Wire(asyncio.BufferedProtocol):
    """Turns asyncio's callbacks into one answer at a time.

    A plain Protocol is given 256 KiB of new memory each time, cut to size: three system calls more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._memory = memoryview(bytearray(_CHUNK))
        self._room: memoryview | None = None  # of the program, for what comes next
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: Answer | None = None
        self.writable: asyncio.Future[None] | None = None  # to wait for before more is written
        self._paused = False
        self._transport: asyncio.Transport
        self.quickack: Callable[[], None] | None = None
        self.lost: Error | None = None
        self.explain: Callable[[Exception | None], Error] = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go (asyncio)."""
        room, waiter = self._room, self._waiter
        return self._memory if room is None or waiter is None or waiter.done() else room

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what came to whoever waits, else keep it (asyncio)."""
        waiter, self._waiter = self._waiter, None
        room, self._room = self._room, None
        if waiter is not None and not waiter.done():
            waiter.set_result(self._memory[:nbytes].tobytes() if room is None else nbytes)
            return
        self._chunks.append(self._memory[:nbytes].tobytes())
        self._size += nbytes
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

    def receive(self, room: memoryview | None = None) -> Answer:
        """The next chunk, to be awaited; with `room` it goes there, and its size is the answer."""
        waiter = Answer(self._loop)
        if self._chunks:
            waiter.set_result(self._kept(room))
        elif self.lost is not None:
            waiter.set_exception(self.lost)
        else:
            self._waiter, self._room = waiter, room
        return waiter

    def _kept(self, room: memoryview | None) -> bytes | int:
        """What has come before it was asked for; all of it, or as much as `room` takes."""
        chunk = b"".join(self._chunks)
        self._chunks.clear()
        count = len(chunk) if room is None else min(len(chunk), len(room))
        if count < len(chunk):
            self._chunks.append(chunk[count:])
        self._size = len(chunk) - count
        if self._paused and not self._chunks:
            self._paused = False
            self._transport.resume_reading()
        if room is None:
            return chunk
        room[:count] = chunk[:count]
        return count

    @property
    def is_idle(self) -> bool:
        """True while nothing has come that nobody asked for."""
        return not self._chunks and self.lost is None
