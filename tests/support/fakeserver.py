"""A scripted peer on a loopback socket, for what no real member would send."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

Script = Callable[[socket.socket], None]

_ports: set[int] = set()


def _listener() -> socket.socket:
    """On a port that no server of this process has had.

    The driver remembers for an address which members it named, and would ask those as well.
    """
    with ExitStack() as taken:
        while True:
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            if port not in _ports:
                _ports.add(port)
                return listener
            taken.enter_context(listener)


def secured(accepted: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The server's side of TLS on another descriptor of a connection, after the handshake."""
    context.sslsocket_class = _Accepted
    return context.wrap_socket(accepted.dup(), server_side=True)


class _Accepted(ssl.SSLSocket):
    """CPython leaves one open that it could not finish making, as when the peer has gone."""

    def getpeername(self) -> Any:
        """As ever; whoever has no peer is closed."""
        try:
            return super().getpeername()
        except OSError:
            self.close()
            raise


class FakeServer:
    """Runs `script` on each connection it accepts, a thread each; closes it afterwards.

    With `context` the script is given a TLS socket, once the handshake is done.
    """

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = context
        self._listener = _listener()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> FakeServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(connection)
            try:
                if self._tls is not None:
                    connection = stack.enter_context(secured(connection, self._tls))
                self._script(connection)
            except OSError:
                return
