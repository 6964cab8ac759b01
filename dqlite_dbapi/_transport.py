"""What the asyncio runner sends and receives by: a socket, or a transport with TLS."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, cast

from dqlite_dbapi._poller import forget, watch
from dqlite_dbapi._sockets import acknowledge
from dqlite_dbapi.errors import ConnectionLost, Error
from dqlite_dbapi.wire._accel import take

#: Bytes that may wait for the program before the member is made to wait.
_READ_AHEAD = 1 << 20
#: Bytes taken at once.
_CHUNK = 1 << 16


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
        if self._chunk is None and self._error is None:
            self._asyncio_future_blocking = True
            yield self
        chunk, self._chunk = self._chunk, b""  # done, but without what it brought
        if self._error is not None:
            raise self._error
        return chunk

    def done(self) -> bool:
        """Whether there is a chunk, or an error instead."""
        return self._chunk is not None or self._error is not None

    def result(self) -> None:
        """Nothing; the error that came instead of an answer is raised (asyncio)."""
        if self._error is not None:
            raise self._error

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

    def set_result(self, chunk: object) -> None:
        """Hand it over, and resume the task that waits unless another one is running."""
        if asyncio.current_task(self._loop) is None:
            self.give(chunk)
        else:
            self._chunk = chunk
            self._wake_soon()

    def give(self, chunk: object) -> None:
        """As `set_result`, from where no task can be running."""
        self._chunk = chunk
        wake, context = self._wake, self._context
        if wake is None or context is None:
            self._wake_soon()
            return
        self._wake = None
        context.run(wake, self)

    def _wake_soon(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            self._loop.call_soon(wake, self, context=self._context)


class Wire(ABC):
    """One connection's bytes, for one task that asks for the next ones at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connected: socket.socket) -> None:
        self.loop = loop
        self._socket = connected
        self._is_tcp = connected.family != socket.AF_UNIX
        self._room: memoryview | None = None  # of the program, for what comes next
        self._decodes = False  # whether that may be given as rows
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: Answer | None = None
        self._paused = False
        self.writable: asyncio.Future[None] | None = None  # to wait for before more is written
        self.lost: Error | None = None

    def receive(self, room: memoryview | None = None, *, decodes: bool = False) -> Answer:
        """The next chunk, to be awaited; with `room` it goes there, and its size is the answer.

        If it `decodes`, a chunk that is a whole result may come as `decode_answer` returns it.
        """
        waiter = Answer(self.loop)
        if self._chunks:
            waiter.give(self._kept(room))  # nobody waits yet
        elif self.lost is not None:
            waiter.set_exception(self.lost)
        else:
            self._waiter, self._room, self._decodes = waiter, room, decodes
        return waiter

    def _take_waiter(self) -> Answer | None:
        """Whoever waits for bytes, once."""
        waiter, self._waiter, self._room = self._waiter, None, None
        return None if waiter is None or waiter.done() else waiter

    def _keep(self, chunk: bytes) -> None:
        """Hold what nobody waits for; beyond some of it the member has to wait."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _READ_AHEAD and not self._paused:
            self._paused = True
            self._pause()

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
            self._resume()
        if room is None:
            return chunk
        room[:count] = chunk[:count]
        return count

    def fail(self, error: Error) -> None:
        """Fail whoever waits, now and later; the first reason stays."""
        self.lost = self.lost or error
        waiter = self._take_waiter()
        if waiter is not None:
            waiter.set_exception(self.lost)
        self._let_write()

    def _let_write(self) -> None:
        waiter, self.writable = self.writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @property
    def is_idle(self) -> bool:
        """True while nothing has come that nobody asked for."""
        return not self._chunks and self.lost is None

    @abstractmethod
    def send(self, message: bytes) -> None:
        """Write without waiting; raises the reason if the connection is lost."""

    def acknowledge(self) -> None:
        """Have the system acknowledge what came at once; see `_sockets.acknowledge`."""
        if self._is_tcp and self.lost is None:
            acknowledge(self._socket)

    @abstractmethod
    def settle(self) -> None:
        """The member has answered: what is lost from now on was a connection."""

    @abstractmethod
    def fileno(self) -> int:
        """The socket's descriptor; below 0 once it is closed."""

    @abstractmethod
    def abort(self) -> None:
        """Close at once; whoever waits fails."""

    @abstractmethod
    def _pause(self) -> None: ...

    @abstractmethod
    def _resume(self) -> None: ...


class PlainWire(Wire):
    """A socket that the loop only watches: half the price of a call by asyncio's transports."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connected: socket.socket) -> None:
        super().__init__(loop, connected)
        self._unsent = memoryview(b"")
        self._resume()

    def send(self, message: bytes) -> None:
        """Write without waiting; raises the reason if the connection is lost."""
        if self.lost is not None:
            raise self.lost
        sent = 0
        try:
            sent = self._socket.send(message)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._end(error)
            raise lost(error) from None
        if sent < len(message):
            self._unsent = memoryview(message)[sent:]
            self.writable = self.loop.create_future()
            self.loop.add_writer(self._socket, self._send_rest)

    def _send_rest(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
        else:
            if not self._unsent:
                self.loop.remove_writer(self._socket)
                self._let_write()

    def _receive(self) -> None:
        room, waiter = self._room, self._waiter
        if waiter is None or waiter.done():
            room = waiter = None
        came: Any
        try:
            if room is not None:
                came = self._socket.recv_into(room)
            elif waiter is not None and self._decodes and take is not None:
                came = take(self._socket.fileno())
            else:
                came = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if came is None:
            return
        if not came:
            self._end(None)
        elif waiter is not None:
            self._waiter = self._room = None
            waiter.give(came)  # the loop's own callback
        else:
            self._keep(came)

    def _end(self, error: OSError | None) -> None:
        self._pause()
        self.loop.remove_writer(self._socket)
        self.fail(lost(error))

    def settle(self) -> None:
        """Nothing changes: without TLS it was a connection from the first byte on."""

    def fileno(self) -> int:
        """The socket's descriptor; below 0 once it is closed."""
        return self._socket.fileno()

    def abort(self) -> None:
        """Close at once; whoever waits fails."""
        if self.fileno() >= 0:
            self._end(None)
            self._socket.close()

    def _pause(self) -> None:
        forget(self.loop, self._socket.fileno())

    def _resume(self) -> None:
        watch(self.loop, self._socket.fileno(), self._receive)


class SecureWire(Wire, asyncio.BufferedProtocol):
    """TLS, by asyncio's transport; what that calls is turned into one answer at a time.

    A plain Protocol is given 256 KiB of new memory each time, cut to size: three system calls more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connected: socket.socket,
        explain: Callable[[Exception | None], Error],
    ) -> None:
        """`explain`: the error of a member that ends the connection before it has answered."""
        super().__init__(loop, connected)
        self._memory = memoryview(bytearray(_CHUNK))
        self._transport: asyncio.Transport
        self._explain = explain

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go (asyncio)."""
        room, waiter = self._room, self._waiter
        return self._memory if room is None or waiter is None or waiter.done() else room

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what came to whoever waits, else keep it (asyncio)."""
        room, waiter = self._room, self._take_waiter()
        chunk = self._memory[:nbytes].tobytes() if room is None or waiter is None else b""
        if waiter is None:
            self._keep(chunk)
        else:
            waiter.set_result(chunk or nbytes)

    def eof_received(self) -> bool:
        """Close: a member that has shut down its side answers no more (asyncio)."""
        self.fail(self._explain(None))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the reason on (asyncio)."""
        self.fail(self._explain(exc))

    def pause_writing(self) -> None:
        """The socket is full (asyncio)."""
        self.writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """The socket takes more (asyncio)."""
        self._let_write()

    def settle(self) -> None:
        """The member has answered: what is lost from now on was a connection."""
        self._explain = lost

    def send(self, message: bytes) -> None:
        """Write without waiting; raises the reason if the connection is lost."""
        if self.lost is not None:
            raise self.lost
        self._transport.write(message)

    def fileno(self) -> int:
        """The socket's descriptor; below 0 once it is closed."""
        return -1 if self._transport.is_closing() else self._socket.fileno()

    def abort(self) -> None:
        """Close at once; whoever waits fails."""
        self._transport.abort()

    def _pause(self) -> None:
        self._transport.pause_reading()

    def _resume(self) -> None:
        self._transport.resume_reading()
