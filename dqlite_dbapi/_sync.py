"""The blocking runner: the only file of the sync driver that touches a socket."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from struct import pack
from typing import Any, TypeVar

from dqlite_dbapi.errors import ConnectionLost, Error, InterfaceError, Timeout
from dqlite_dbapi.options import split_address
from dqlite_dbapi.protocol.effects import (
    Check,
    Effect,
    Flow,
    Limit,
    Open,
    Race,
    RaceResult,
    Sleep,
)

T = TypeVar("T")
_CHUNK = 65536
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_USER_TIMEOUT_MS = 30_000
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class SyncIO:
    """Runs flows on one blocking socket at a time; not safe for use by two threads at once."""

    def __init__(self, stopped: threading.Event | None = None) -> None:
        """`stopped` ends the sleeps of a runner that lost a race."""
        self._socket: socket.socket | None = None
        self._address = ""
        self._limit = 0.0
        self._is_tcp = False
        self._stopped = stopped

    def run(self, flow: Flow[T]) -> T:
        """Drive `flow` to its end; returns its value or raises its exception."""
        answer: Any = None
        failure: Error | None = None
        try:
            while True:
                effect = flow.throw(failure) if failure is not None else flow.send(answer)
                failure = None
                try:
                    if effect.__class__ is bytes:
                        answer = self._exchange(effect)
                    else:
                        answer = self._perform(effect)
                except Error as error:
                    failure = error
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the socket, if there is one; may be called from any thread."""
        present, self._socket = self._socket, None
        if present is not None:
            with contextlib.suppress(OSError):  # the peer was first
                present.shutdown(socket.SHUT_RDWR)
            present.close()

    def _exchange(self, message: Any) -> bytes:
        present = self._socket
        if present is None:
            raise ConnectionLost("the connection is closed", address=self._address)
        try:
            if message:
                present.sendall(message)
            elif self._is_tcp and _QUICKACK is not None:
                # The server never sets TCP_NODELAY: without this a second small message of one
                # reply waits for our delayed ACK, some 40 ms.
                present.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            chunk = present.recv(_CHUNK)
        except (BlockingIOError, TimeoutError):
            self.close()
            raise Timeout(f"no answer within {self._limit:g} s", address=self._address) from None
        except OSError as error:
            self.close()
            raise ConnectionLost(str(error), address=self._address) from None
        if not chunk:
            self.close()
            raise ConnectionLost("the member closed the connection", address=self._address)
        return chunk

    def _check(self) -> None:
        try:
            if self._socket is not None:
                self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            raise ConnectionLost(str(error), address=self._address) from None
        self.close()
        raise ConnectionLost("the member closed the connection", address=self._address)

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Open):
            self.close()
            self._address = effect.address
            self._socket = dial(effect.address, effect.timeout)
            self._is_tcp = self._socket.family != socket.AF_UNIX
            if self._is_stopped():
                raise InterfaceError("another member answered first")
            return self._set_limit(effect.timeout)
        if isinstance(effect, Limit):
            return self._set_limit(effect.seconds)
        if isinstance(effect, Check):
            return self._check()
        if isinstance(effect, Sleep):
            return self._sleep(effect.seconds)
        if isinstance(effect, Race):
            return self._race(effect)
        raise TypeError(f"a flow yielded {effect!r}")

    def _set_limit(self, seconds: float) -> None:
        self._limit = seconds
        if self._socket is not None:
            interval = pack("@ll", *divmod(max(round(seconds * 1_000_000), 1), 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)

    def _sleep(self, seconds: float) -> None:
        if self._stopped is None:
            time.sleep(seconds)
        elif self._stopped.wait(seconds):
            raise InterfaceError("another member answered first")

    def _race(self, race: Race) -> RaceResult:
        """Run the flows on threads, adopt the winner's socket and stop the others."""
        stopped = threading.Event()
        runners = [SyncIO(stopped) for _ in race.flows]
        errors: dict[SyncIO, Error] = {}
        pool = ThreadPoolExecutor(min(race.width, len(runners)), "dqlite-search")
        try:
            pending = {
                pool.submit(runner.compete, flow): runner
                for runner, flow in zip(runners, race.flows, strict=True)
            }
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    runner = pending.pop(future)
                    value, error = future.result()
                    if error is None:
                        self._adopt(runner)
                        return RaceResult(value, ())
                    errors[runner] = error
        finally:
            stopped.set()
            for runner in runners:
                runner.close()
            pool.shutdown(wait=False, cancel_futures=True)
        return RaceResult(None, tuple(errors[runner] for runner in runners))

    def compete(self, flow: Callable[[], Flow[T]]) -> tuple[T | None, Error | None]:
        """Run one flow of a race; a runner that comes too late closes its socket."""
        try:
            return self.run(flow()), None
        except Error as error:
            return None, error
        finally:
            if self._is_stopped():
                self.close()

    def _is_stopped(self) -> bool:
        return self._stopped is not None and self._stopped.is_set()

    def _adopt(self, winner: SyncIO) -> None:
        self.close()
        self._socket, winner._socket = winner._socket, None
        self._address, self._limit, self._is_tcp = winner._address, winner._limit, winner._is_tcp


def dial(address: str, timeout: float) -> socket.socket:
    """Connect to `host:port`, `[IPv6]:port` or `@abstract` within `timeout` seconds.

    `ConnectionLost` for a refused or unreachable address, `Timeout` when time is up.
    """
    give_up = time.monotonic() + timeout
    problem: OSError | None = None
    try:
        targets = _resolve(address)
    except OSError as error:
        raise ConnectionLost(f"cannot resolve: {error.strerror}", address=address) from None
    for family, target in targets:
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.settimeout(max(give_up - time.monotonic(), 0.001))
            connecting.connect(target)
            connecting.settimeout(None)
            if family != socket.AF_UNIX:
                _tune(connecting)
        except OSError as error:
            connecting.close()
            problem = error
        else:
            return connecting
    if isinstance(problem, TimeoutError):
        raise Timeout(f"no connection within {timeout:g} s", address=address)
    reason = problem.strerror if problem is not None else "the name has no address"
    raise ConnectionLost(f"cannot connect: {reason}", address=address)


def _resolve(address: str) -> list[tuple[int, Any]]:
    if address.startswith("@"):
        return [(socket.AF_UNIX, "\0" + address[1:])]
    host, port = split_address(address)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, target) for family, _, _, _, target in found]


def _tune(connected: socket.socket) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
