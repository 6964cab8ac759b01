"""How a member reaches its peers: the connect callback that replaces libdqlite's own TCP.

libdqlite's own never sets TCP_NODELAY (40 ms stalls), blocks for the kernel's SYN retries and
knows dotted IPv4 only (security.md 5).
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dqlite_node.errors import NodeError

MAX_PORT = 65535
SIDE_BY_SIDE = 16
ANY_HOSTS = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 - names to refuse

_log = logging.getLogger("dqlite_node")


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port` or `[ipv6]:port`; NodeError for anything else."""
    host, _, digits = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if (":" in host) is not bracketed or not digits.isascii() or not digits.isdigit():
        raise NodeError(f"{address!r} is not an address", hint="write host:port or [ipv6]:port")
    if not 0 < int(digits) <= MAX_PORT:
        raise NodeError(f"{address!r} has no usable port", hint=f"ports go from 1 to {MAX_PORT}")
    return host, int(digits)


def check_advertised(address: str) -> str:
    """Give back an address that peers can dial; NodeError for one like `0.0.0.0:9001`."""
    host, _ = split_address(address)
    if host in ANY_HOSTS:
        raise NodeError(
            f"{address} is no address that peers could connect to",
            hint="give this machine's own address, and 0.0.0.0 as bind_address if wanted",
        )
    return address


def is_loopback(address: str) -> bool:
    """Whether only this machine can dial the address: `localhost`, 127.x.y.z or ::1."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_served(address: str, timeout: float) -> bool:
    """Whether somebody accepts connections at `address`; one that is frozen does as well."""
    try:
        socket.create_connection(split_address(address), timeout=timeout).close()
    except OSError:
        return False
    return True


def served(addresses: Sequence[str], timeout: float) -> list[str]:
    """Those of `addresses` at which somebody listens, asked side by side."""
    if not addresses:
        return []
    with ThreadPoolExecutor(min(len(addresses), SIDE_BY_SIDE)) as pool:
        answers = list(pool.map(lambda each: is_served(each, timeout), addresses))
    return [address for address, listens in zip(addresses, answers, strict=True) if listens]


def numeric_address(address: str) -> str:
    """Resolve the host, IPv4 first, because libdqlite binds numeric addresses only (W 9.5).

    Abstract Unix sockets (`@name`) pass. Raises NodeError if the name does not resolve.
    """
    if address.startswith("@"):
        return address
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NodeError(f"cannot resolve {host!r}: {error}", address=address) from error
    by_family = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    family, number = by_family[0][0], by_family[0][4][0]
    return f"[{number}]:{port}" if family == socket.AF_INET6 else f"{number}:{port}"


class Dialer:
    """Connects to peers for one member; the engine calls it on its worker threads."""

    def __init__(self, timeout: float) -> None:
        """`timeout` in seconds bounds each TCP connect, one per address of a name, no look-up."""
        self._timeout = timeout
        self._lock = threading.Lock()
        self._failures: dict[str, BaseException] = {}

    @property
    def failures(self) -> dict[str, BaseException]:
        """Last error by peer address, for the peers that are out of reach now."""
        with self._lock:
            return dict(self._failures)

    def __call__(self, address: str) -> int | None:
        """Connect and give the descriptor away; None on failure, whatever it was."""
        try:
            descriptor = self._connect(address)
        except BaseException as error:
            self._note_failure(address, error)
            return None
        with self._lock:
            returned = self._failures.pop(address, None)
        if returned is not None:
            _log.info("peer %s is reachable again", address)
        return descriptor

    def _connect(self, address: str) -> int:
        connection = socket.create_connection(split_address(address), timeout=self._timeout)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(None)
        except BaseException:
            connection.close()
            raise
        return connection.detach()

    def _note_failure(self, address: str, error: BaseException) -> None:
        with self._lock:
            first = address not in self._failures
            self._failures[address] = error
        if first:
            _log.warning("peer %s cannot be reached, trying on: %s", address, error)
