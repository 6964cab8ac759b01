"""The gate in front of a member: TLS listener, TLS dialler, and who may do what (security.md 3).

The engine listens on an abstract socket that only its own process can reach, so the gate lives
there too, in one thread. Peers are dialled over TLS; the engine gets one end of a socket pair.
"""

from __future__ import annotations

import errno
import logging
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from dqlite_node.dial import Dialer, split_address
from dqlite_node.errors import NodeError
from dqlite_node.frames import Forbidden, Inspector, Malformed, failure
from dqlite_node.poll import IN, OUT, Loop
from dqlite_node.relay import Hangup, Relay, tune
from dqlite_node.tls import MEMBER, Certificate, Keyring, TLSFiles

HANDSHAKE_TIMEOUT = 5.0
HANDSHAKES = 32  #: that one address may have under way
BACKLOG = 128
UNREAD = 65536  #: bytes in the kernel that would turn a close into a reset
AT_ONCE = 16  #: connections accepted before others get their turn
ENGINE_TIMEOUT = 1.0
QUIET = 60.0  #: seconds in which the same complaint is not repeated
MOST_COMPLAINTS = 1000
DESCRIPTORS = 3  #: of this process for one connection
SPARE_DESCRIPTORS = 128
NOT_AUTHORISED = 23  #: SQLITE_AUTH; clients take it as final

_log = logging.getLogger("dqlite_node")


class Complaints:
    """Log lines about peers; the same one once in QUIET seconds."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._told: dict[tuple[str, str], float] = {}

    def tell(self, peer: str, what: str, level: int = logging.WARNING) -> None:
        """Log `what` about `peer`."""
        now = time.monotonic()
        if now - self._told.get((peer, what), -QUIET) < QUIET:
            return
        if len(self._told) > MOST_COMPLAINTS:
            self._told.clear()
        self._told[peer, what] = now
        _log.log(level, "member %s, peer %s: %s", self._address, peer, what)


class Greeting:
    """The handshake with somebody who connected; ends in `done` or, if it fails, in `failed`."""

    def __init__(
        self,
        loop: Loop,
        peer: ssl.SSLSocket,
        deadline: float,
        done: Callable[[Greeting, ssl.SSLSocket], None],
        failed: Callable[[Greeting, BaseException], None],
    ) -> None:
        """`peer` does not block and has not shaken hands."""
        self._loop, self._peer, self._deadline = loop, peer, deadline
        self._done, self._failed = done, failed
        loop.watch(peer.fileno(), IN, self._go_on)

    def tick(self, now: float) -> None:
        """End it when it takes too long."""
        if now > self._deadline:
            self.fail(TimeoutError("no TLS handshake in time"))

    def fail(self, error: BaseException) -> None:
        """Drop the peer, so that it can still read the alert that tells it why."""
        self._loop.forget(self._peer.fileno())
        with socket.socket(fileno=self._peer.detach()) as raw, suppress(OSError):
            raw.recv(UNREAD)
        self._failed(self, error)

    def _go_on(self, _mask: int) -> None:
        try:
            self._peer.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.change(self._peer.fileno(), IN)
        except ssl.SSLWantWriteError:
            self._loop.change(self._peer.fileno(), OUT)
        except (OSError, ValueError) as error:
            self.fail(error)
        else:
            self._loop.forget(self._peer.fileno())
            self._done(self, self._peer)


class TLSDialer(Dialer):
    """Connects to peers over TLS; the engine gets the plain end of a socket pair."""

    def __init__(
        self,
        keyring: Keyring,
        timeout: float,
        adopt: Callable[[ssl.SSLSocket, socket.socket, str], bool],
    ) -> None:
        """`adopt` is given peer, other end and address, and tells whether it carries on."""
        super().__init__(timeout)
        self._keyring = keyring
        self._patience = timeout
        self._adopt = adopt

    def _connect(self, address: str) -> int:
        raw = socket.create_connection(split_address(address), timeout=self._patience)
        try:
            tune(raw)
            peer = self._shake_hands(raw, address)
        except BaseException:
            raw.close()
            raise
        ours, theirs = socket.socketpair()
        if not self._adopt(peer, ours, address):
            for each in (peer, ours, theirs):
                each.close()
            raise ConnectionAbortedError("the member is being stopped")
        return theirs.detach()

    def _shake_hands(self, raw: socket.socket, address: str) -> ssl.SSLSocket:
        files = self._keyring.files
        peer = self._keyring.current.client.wrap_socket(
            raw, server_hostname=files.name_for(address)
        )
        certificate = Certificate.from_peer(peer.getpeercert(), files.default_role)
        if MEMBER not in certificate.roles:
            peer.close()
            raise ConnectionRefusedError("its certificate has not the role of a member")
        return peer


class Gate:
    """Between the world and one engine: `bind`, `listen`, `stop_listening`, `close`, in order.

    Methods may be called from any thread, but not by two at once.
    """

    def __init__(
        self,
        keyring: Keyring,
        address: str,
        connect_timeout: float,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        """`address` is the member's; timeouts in seconds."""
        self._keyring = keyring
        self._patience = handshake_timeout
        self._complaints = Complaints(address)
        self._loop = Loop(f"dqlite_node gate {address}")
        self._server: socket.socket | None = None
        self._engine = ""
        self._greetings: dict[Greeting, str] = {}
        self._relays: dict[Relay, str] = {}
        self._guests: Counter[str] = Counter()
        self._most = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS) // (
            DESCRIPTORS
        )
        #: The connect callback for the engine.
        self.dial = TLSDialer(keyring, connect_timeout, self._adopt)
        self._loop.each_tick(self._tick)
        self._loop.start()

    def bind(self, numeric: str) -> str:
        """Hold the port, without listening yet; gives the numeric address. Raises NodeError."""
        family = socket.AF_INET6 if numeric.startswith("[") else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(split_address(numeric))
        except OSError as error:
            server.close()
            raise NodeError(f"{numeric} cannot be bound: {error.strerror}") from error
        server.setblocking(False)
        self._server = server
        return numeric

    def listen(self, engine: str) -> None:
        """Serve, on behalf of the engine at an abstract socket `@name`. NodeError if taken."""
        assert self._server is not None  # noqa: S101 - `bind` came first
        self._engine = f"\0{engine[1:]}"
        try:
            self._server.listen(BACKLOG)
        except OSError as error:
            raise NodeError(f"the port cannot be listened at: {error.strerror}") from error
        server = self._server
        self._loop.call(lambda: self._loop.watch(server.fileno(), IN, self._accept))

    def refresh(self) -> None:
        """Read the certificate's files again, soon; they are looked at each second anyway."""
        self._loop.call(lambda: self._keyring.refresh(always=True))

    def stop_listening(self) -> None:
        """Let nobody in any more; those who are in stay."""
        server, self._server = self._server, None
        if server is not None and not self._loop.call(partial(self._drop_server, server)):
            server.close()

    def close(self) -> None:
        """Drop everybody and end the thread; may be called again."""
        self.stop_listening()
        self._loop.close(self._drop_all)

    def _drop_server(self, server: socket.socket) -> None:
        self._loop.forget(server.fileno())
        server.close()

    def _drop_all(self) -> None:
        for greeting in tuple(self._greetings):
            greeting.fail(ConnectionAbortedError("the member is being stopped"))
        for relay in tuple(self._relays):
            relay.close()

    def _tick(self, now: float) -> None:
        for greeting in tuple(self._greetings):
            greeting.tick(now)
        for relay in tuple(self._relays):
            relay.tick(now)
        self._keyring.refresh()
        self._keyring.warn_of_expiry()

    # -- those who connect

    def _accept(self, _mask: int) -> None:
        for _ in range(AT_ONCE):
            server = self._server
            if server is None:
                return
            try:
                accepted, (host, *_) = server.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                    self._complaints.tell("any", f"cannot be let in: {error.strerror}")
                    return
                continue
            self._greet(accepted, host)

    def _greet(self, accepted: socket.socket, host: str) -> None:
        under_way = sum(other == host for other in self._greetings.values())
        if under_way >= HANDSHAKES or len(self._greetings) + len(self._relays) >= self._most:
            self._complaints.tell(host, "too many connections at a time")
            accepted.close()
            return
        accepted.setblocking(False)
        try:
            tune(accepted)
            peer = self._keyring.current.server.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            accepted.close()
            self._complaints.tell(host, f"gone at once: {error}", logging.DEBUG)
            return
        deadline = time.monotonic() + self._patience
        greeting = Greeting(self._loop, peer, deadline, self._welcome, self._turn_away)
        self._greetings[greeting] = host

    def _turn_away(self, greeting: Greeting, error: BaseException) -> None:
        host = self._greetings.pop(greeting)
        gone = isinstance(error, (ssl.SSLEOFError, ConnectionError, ssl.SSLZeroReturnError))
        reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
        level = logging.DEBUG if gone else logging.WARNING
        self._complaints.tell(host, f"refused in the handshake: {reason}", level)

    def _welcome(self, greeting: Greeting, peer: ssl.SSLSocket) -> None:
        host = self._greetings.pop(greeting)
        files = self._keyring.files
        certificate = Certificate.from_peer(peer.getpeercert(), files.default_role)
        is_guest = MEMBER not in certificate.roles
        if is_guest and self._guests[host] >= files.connections:
            self._complaints.tell(host, f"has {files.connections} connections already")
            peer.close()
            return
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inner.settimeout(ENGINE_TIMEOUT)
        try:
            inner.connect(self._engine)
        except OSError as error:
            level = logging.WARNING if self._server else logging.DEBUG
            self._complaints.tell(host, f"the engine does not answer: {error}", level)
            inner.close()
            peer.close()
            return
        judge = Inspector(certificate.allowed, partial(self._judge_connect, certificate))
        check = partial(self._check, judge, certificate, host)
        relay = Relay(self._loop, peer, inner, check, self._forget)
        self._relays[relay] = host if is_guest else ""
        self._guests[host] += is_guest

    def _judge_connect(self, certificate: Certificate, node_id: int, address: str) -> str | None:
        try:
            name = self._keyring.files.name_for(address)
        except NodeError as error:
            return error.message
        if not certificate.holds(name):
            return f"the certificate is not good for {name}"
        if certificate.ids and node_id not in certificate.ids:
            return f"the certificate is not good for member {node_id}"
        return None

    def _check(self, judge: Inspector, certificate: Certificate, host: str, chunk: bytes) -> bytes:
        try:
            return judge.feed(chunk)
        except Malformed as error:
            self._complaints.tell(host, f"cut: {error}")
            raise Hangup(str(error)) from None
        except Forbidden as error:
            roles = ", ".join(sorted(certificate.roles)) or "no role"
            reason = f"{error} is not allowed to a certificate with {roles}"
            self._complaints.tell(host, f"cut: {reason}")
            raise Hangup(reason, failure(NOT_AUTHORISED, reason)) from None

    def _forget(self, relay: Relay, error: BaseException | None) -> None:
        host = self._relays.pop(relay, "")
        if host:
            self._guests[host] -= 1
            if not self._guests[host]:
                del self._guests[host]
        if isinstance(error, ssl.SSLError):
            self._complaints.tell(host or "member", f"lost: {error}")

    # -- those who are dialled

    def _adopt(self, peer: ssl.SSLSocket, inner: socket.socket, address: str) -> bool:
        return self._loop.call(partial(self._carry, peer, inner, address))

    def _carry(self, peer: ssl.SSLSocket, inner: socket.socket, address: str) -> None:
        relay = Relay(self._loop, peer, inner, partial(self._listen_to, address), self._forget)
        self._relays[relay] = ""

    def _listen_to(self, address: str, chunk: bytes) -> bytes:
        """Nothing comes back on a raft connection, except why the peer's gate cuts it."""
        said = chunk[16:].partition(b"\0")[0].decode(errors="replace")
        self._complaints.tell(address, f"refuses this member: {said}")
        return b""


def make_gate(files: TLSFiles, address: str, connect_timeout: float) -> Gate:
    """A gate that runs but does not listen; NodeStartError for files that cannot be used."""
    return Gate(Keyring(files, address), address, connect_timeout)
