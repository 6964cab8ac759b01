"""One connection through the gate: TLS outside, a socket to the engine inside, bytes both ways."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from dqlite_node.poll import GONE, IN, OUT, Loop

RECORD = 16384  #: most plain bytes in one TLS record, so that a read leaves none behind
CHUNK = 65536
HIGH = 262144  #: bytes that may wait for one side before the other is read no more
LINGER = 5.0  #: seconds to deliver what is left after one side has ended
KEEPALIVE = 3  #: seconds of silence, then between probes; and probes
USER_TIMEOUT_MS = 30_000

#: Passes on what came from outside, b"" to hold it back; raises to end the connection.
Filter = Callable[[bytes], bytes]


class Hangup(Exception):
    """A filter ends the connection; `answer` is sent first."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = answer


def tune(connection: socket.socket) -> None:
    """Send at once, and notice a peer that is gone."""
    tcp = socket.IPPROTO_TCP
    connection.setsockopt(tcp, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(tcp, socket.TCP_KEEPIDLE, KEEPALIVE)
    connection.setsockopt(tcp, socket.TCP_KEEPINTVL, KEEPALIVE)
    connection.setsockopt(tcp, socket.TCP_KEEPCNT, KEEPALIVE)
    connection.setsockopt(tcp, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


class Relay:
    """Carries bytes until either side ends; belongs to the loop's thread, made there as well."""

    def __init__(
        self,
        loop: Loop,
        outer: ssl.SSLSocket,
        inner: socket.socket,
        check: Filter,
        ended: Callable[[Relay, BaseException | None], None],
    ) -> None:
        """`outer` has shaken hands. `ended` is told the error, or None after an orderly end."""
        self._loop, self._outer, self._inner = loop, outer, inner
        self._check, self._ended = check, ended
        self._to_outer, self._to_inner = bytearray(), bytearray()
        self._reason: BaseException | None = None
        self._deadline: float | None = None
        self._closed = False
        self._masks = [int(IN), int(IN)]
        outer.setblocking(False)
        inner.setblocking(False)
        loop.watch(outer.fileno(), IN, self._on_outer)
        loop.watch(inner.fileno(), IN, self._on_inner)

    def tick(self, now: float) -> None:
        """Give up what could not be delivered in LINGER seconds."""
        if self._deadline is not None and now > self._deadline:
            self.close(self._reason)

    def close(self, reason: BaseException | None = None) -> None:
        """Drop both sides now."""
        if self._closed:
            return
        self._closed = True
        for side in (self._outer, self._inner):
            self._loop.forget(side.fileno())
        with suppress(OSError, ValueError):
            self._outer.unwrap()
        self._outer.close()
        self._inner.close()
        self._ended(self, reason)

    def _on_outer(self, mask: int) -> None:
        try:
            if self._deadline is not None and mask & GONE:
                self._let_go(0, self._outer, self._to_outer)
            if self._to_outer:
                self._flush_outer()
            if mask != OUT and self._deadline is None:
                self._pull_outer()
        except Hangup as hangup:
            self._end(hangup, answer=hangup.answer)
        except OSError as error:
            self.close(error)
        else:
            self._settle()

    def _on_inner(self, mask: int) -> None:
        try:
            if self._deadline is not None and mask & GONE:
                self._let_go(1, self._inner, self._to_inner)
            if self._to_inner:
                self._flush_inner()
            if mask != OUT and self._deadline is None:
                self._pull_inner()
        except OSError as error:
            self.close(error)
        else:
            self._settle()

    def _pull_outer(self) -> None:
        try:
            chunk = self._outer.recv(RECORD)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if not chunk:
            self._end(None)
            return
        self._outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        passed = self._check(chunk)
        if passed:
            self._to_inner += passed
            self._flush_inner()

    def _pull_inner(self) -> None:
        try:
            chunk = self._inner.recv(CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._end(None)
            return
        self._to_outer += chunk
        self._flush_outer()

    def _flush_outer(self) -> None:
        """OpenSSL wants an interrupted write again with the same bytes, or more behind them."""
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = self._outer.send(self._to_outer)
            del self._to_outer[:sent]

    def _flush_inner(self) -> None:
        with suppress(BlockingIOError):
            sent = self._inner.send(self._to_inner)
            del self._to_inner[:sent]

    def _let_go(self, side: int, connection: socket.socket, waiting: bytearray) -> None:
        """Watch a dead side no longer: epoll would tell of it again and again."""
        self._loop.forget(connection.fileno())
        self._masks[side] = -1
        waiting.clear()

    def _end(self, reason: BaseException | None, answer: bytes = b"") -> None:
        """Read no more, and close once what waits is delivered."""
        self._reason = reason
        self._deadline = time.monotonic() + LINGER
        try:
            if answer:
                self._to_outer += answer
                self._flush_outer()
        except OSError as error:
            self._reason = error
            self._to_outer.clear()
        self._settle()

    def _settle(self) -> None:
        """Wait for what can be done now, or close if nothing is left to do."""
        if self._closed:
            return
        reads = self._deadline is None
        if not reads and not self._to_outer and not self._to_inner:
            self.close(self._reason)
            return
        outer = (IN if reads and len(self._to_inner) < HIGH else 0) | (OUT if self._to_outer else 0)
        inner = (IN if reads and len(self._to_outer) < HIGH else 0) | (OUT if self._to_inner else 0)
        masks = self._masks
        if outer != masks[0] and masks[0] >= 0:
            self._loop.change(self._outer.fileno(), outer)
            masks[0] = outer
        if inner != masks[1] and masks[1] >= 0:
            self._loop.change(self._inner.fileno(), inner)
            masks[1] = inner
