"""A small read-only HTTP server: GET and HEAD of a few fixed paths, and strict limits."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from dqlite_dbapi.errors import InterfaceError
from dqlite_dbapi.options import split_address

_log = logging.getLogger("dqlite_dbapi.cli")
_PATIENCE = 5.0
_CONNECTIONS = 32
_LONGEST_PATH = 1024
#: Nothing but our own script, style and requests; no frame, no form.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class Answer(NamedTuple):
    """What a path gives."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK


Routes = dict[str, Callable[[], Answer]]


def is_loopback(host: str) -> bool:
    """True for `localhost` and addresses that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Handler(BaseHTTPRequestHandler):
    """Answers one request and closes the connection."""

    timeout = _PATIENCE
    server: Server

    def do_GET(self) -> None:
        """Give what the path's route gives."""
        path = self.path.partition("?")[0]
        route = self.server.routes.get(path)
        if len(self.path) > _LONGEST_PATH or route is None:
            self._send(Answer(b"no such page\n", status=HTTPStatus.NOT_FOUND))
        elif not self._is_meant_for_us():
            self._send(Answer(b"wrong host\n", status=HTTPStatus.MISDIRECTED_REQUEST))
        else:
            self._send(route())

    do_HEAD = do_GET

    def _is_meant_for_us(self) -> bool:
        """On a loopback address: no other name may lead here, lest a foreign page reads ours."""
        host = self.headers.get("Host", "")
        if not self.server.is_private or not host:
            return True
        try:
            return is_loopback(split_address(host)[0])
        except InterfaceError:
            return False

    def _send(self, answer: Answer, **extra: str) -> None:
        self.send_response(answer.status)
        headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body))}
        for name, value in {**headers, **_HEADERS, **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request in few words; methods other than GET and HEAD are not allowed."""
        del message, explain
        if code == HTTPStatus.NOT_IMPLEMENTED:
            refusal = Answer(b"read only\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
            self._send(refusal, Allow="GET, HEAD")
        else:
            self._send(Answer(b"bad request\n", status=code))

    def version_string(self) -> str:
        """The Server header, which tells no version."""
        return "dqlite-py"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log at DEBUG: a page that refreshes itself would fill stderr."""
        _log.debug("%s %s", self.address_string(), format % args)


class Server(ThreadingHTTPServer):
    """Serves `routes`; few connections at once, each for a few seconds."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, routes: Routes, lifetime: float = 10.0) -> None:
        """Listen at `host`; port 0 takes a free one. `OSError` if that is not possible.

        A connection is cut off after `lifetime` seconds, whatever goes on there.
        """
        self.routes = routes
        self._lifetime = lifetime
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, address = found[0]
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__((str(address[0]), int(address[1])), Handler)
        self.is_private = is_loopback(str(address[0]))

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{name}:{port}/"

    def server_bind(self) -> None:
        """Bind without asking the name service for our name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Turn a connection away when too many are open."""
        del client_address
        with self._lock:
            is_welcome = len(self._open) < _CONNECTIONS
            if is_welcome:
                self._open[request] = time.monotonic()
        return is_welcome

    def service_actions(self) -> None:
        """Called twice a second: cut off connections that take too long, however they do it."""
        limit = time.monotonic() - self._lifetime
        with self._lock:
            late = [request for request, since in self._open.items() if since < limit]
        for request in late:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("a late connection was gone already: %s", error)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a request has raised: a client that went away is nothing to report."""
        _log.debug("a request of %s failed", client_address, exc_info=True)
