"""What both runners do with sockets: addresses, options, and what a forked child does."""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from functools import lru_cache
from math import ceil
from struct import pack
from typing import Any, Protocol

from dqlite_dbapi.errors import ConnectionLost
from dqlite_dbapi.options import split_address

_MAX_IDLE = 32767  # Linux refuses more seconds in TCP_KEEPIDLE
_MAX_INT = 2**31 - 1
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


@lru_cache(maxsize=1024)
def literal(address: str) -> tuple[tuple[int, Any], ...]:
    """Family and socket address of the host that `address` is; none if it has to be looked up."""
    if address.startswith("@"):
        return ((socket.AF_UNIX, "\0" + address[1:]),)
    host, port = split_address(address)
    with contextlib.suppress(OSError, ValueError):
        socket.inet_pton(socket.AF_INET, host)
        return ((socket.AF_INET, (host, port)),)
    return ()


def resolve(address: str) -> tuple[tuple[int, Any], ...]:
    """Family and socket address of each host that `address` names; `ConnectionLost` for none.

    It may wait for a name server, unless the address is `literal`.
    """
    known = literal(address)
    if known:
        return known
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: no name at all, which a peer may send
        raise unreachable(error, address) from None
    return tuple((family, target) for family, _, _, _, target in found)


def unreachable(error: Exception | None, address: str) -> ConnectionLost:
    """The error for a host that could not be connected to; None: the name has no address."""
    reason = getattr(error, "strerror", None) or error or "the name has no address"
    return ConnectionLost(f"cannot connect: {reason}", address=address)


def tune(connected: socket.socket, keepalive: float, user_timeout: float) -> None:
    """Set the options of a TCP socket.

    `keepalive`: seconds of silence before a probe, `user_timeout`: seconds that sent data may stay
    unacknowledged; 0 leaves either to the system.
    """
    for level, name, value in _choices(keepalive, user_timeout):
        connected.setsockopt(level, name, value)


@lru_cache(maxsize=64)
def _choices(keepalive: float, user_timeout: float) -> tuple[tuple[int, int, int], ...]:
    """Level, name and value of each option that `tune` sets, as far as the system has it."""
    idle = min(ceil(keepalive), _MAX_IDLE)
    wanted = {"TCP_NODELAY": 1, "TCP_USER_TIMEOUT": min(ceil(user_timeout * 1000), _MAX_INT)}
    found = []
    if idle:
        found.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        wanted |= {"TCP_KEEPIDLE": idle, "TCP_KEEPINTVL": max(idle // 3, 1), "TCP_KEEPCNT": 3}
    for name, value in wanted.items():
        if value and hasattr(socket, name):
            found.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return tuple(found)


def limit(connected: socket.socket, seconds: float) -> None:
    """Have each exchange on a blocking socket end after so many seconds, with BlockingIOError."""
    interval = _interval(seconds)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)


@lru_cache(maxsize=64)
def _interval(seconds: float) -> bytes:
    """A `struct timeval`, not 0, which would be no limit."""
    return pack("@ll", *divmod(max(round(seconds * 1_000_000), 1), 1_000_000))


def acknowledge(connected: socket.socket) -> None:
    """Before more of a reply is received by TCP: have what came acknowledged at once.

    The server never sets TCP_NODELAY, so a second small message of one reply would wait for our
    delayed ACK, some 40 ms.
    """
    if _QUICKACK is not None:
        connected.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def shut(present: socket.socket | None) -> None:
    """End both directions, which wakes whoever waits for the socket; the peer may be first.

    Never `ssl.SSLSocket.shutdown`, after which a `sendall` in another thread is sent plainly.
    """
    if present is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(present, socket.SHUT_RDWR)


def take_records(present: socket.socket, limit: float) -> None:
    """Read without waiting; `BlockingIOError` if the peer has neither closed nor sent data.

    For TLS, where session tickets make a socket readable, and nothing can be peeked at.
    `limit`: the socket's timeout in seconds, which it has afterwards.
    """
    import ssl

    present.settimeout(0)
    try:
        present.recv(1)
    except ssl.SSLWantReadError:
        raise BlockingIOError from None
    finally:
        present.settimeout(limit)


class Forkable(Protocol):
    """Something with a socket that a forked child must not use."""

    def abandon(self) -> None:
        """In the child: close the descriptor, which leaves the parent's connection alone."""


_at_fork: weakref.WeakSet[Forkable] = weakref.WeakSet()


def leave_to_parent(holder: Forkable) -> None:
    """Have `holder` abandon its socket in each child that is forked while it lives."""
    _at_fork.add(holder)


def _abandon_all() -> None:
    for holder in list(_at_fork):
        holder.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
