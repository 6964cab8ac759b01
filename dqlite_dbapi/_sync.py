"""The blocking runner: the only file of the sync driver that touches a socket.

`SyncIO.cancel` and `SyncIO.close` may come from any thread, and exchanges take no lock against
them. So a socket that a flow may be using is only shut down, which wakes the flow; its descriptor
is closed by the flow's own thread, or a reader could meet one that has been given out again.
"""

from __future__ import annotations

import _socket
import socket
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dqlite_dbapi import _sockets
from dqlite_dbapi._bell import Bell
from dqlite_dbapi.errors import ConnectionLost, Error, InterfaceError, Interrupted, Timeout
from dqlite_dbapi.protocol import effects
from dqlite_dbapi.protocol.effects import Effect, Flow, Race, RaceResult
from dqlite_dbapi.tls import TLS
from dqlite_dbapi.wire._accel import ask, exchange
from dqlite_dbapi.wire.rows import Answer, decode_answer

if TYPE_CHECKING:
    import ssl
    from concurrent.futures import Future

T = TypeVar("T")
_CHUNK = 65536
_MORE = 1 << 18  # once an answer has turned out to be long
_NOBODY = object()
_RECV = _socket.socket.recv  # TLS, and libraries such as gevent, put another one in its place


class SyncIO:
    """Runs flows on one blocking socket at a time; not safe for use by two threads at once."""

    def __init__(
        self,
        stopped: threading.Event | None = None,
        tls: TLS | None = None,
        *,
        keepalive: float = 15.0,
        user_timeout: float = 30.0,
    ) -> None:
        """`stopped` ends a runner that lost a race; with `tls` no socket speaks plainly.

        `keepalive`: seconds of silence before a probe, `user_timeout`: seconds that sent data may
        stay unacknowledged; 0 leaves either to the system.
        """
        self._socket: socket.socket | None = None
        self._address, self._limit = "", 0.0
        self._ask, self._talk = ask, exchange  # by descriptor; None where that cannot be
        self._is_tcp = self._is_new = False  # new: the member has not answered yet
        self._came = 0  # bytes of the answers to what was sent last
        self._tls = tls
        self._keepalive = keepalive
        self._user_timeout = user_timeout
        self._stopped = stopped
        self._flow: object = None  # the running one
        self._cancelled: object = _NOBODY  # the flow that is to fail
        self._orphan: socket.socket | None = None  # for the flow's thread to close
        self._is_disturbed = False  # cancel() or close() came while a flow ran
        self._wake = Bell()
        self._finished: SimpleQueue[Future[Any] | None] | None = None  # of the running race
        self._guard = threading.RLock()  # held while a socket is shut down, replaced or closed
        _sockets.leave_to_parent(self)

    def run(self, flow: Flow[T]) -> T:
        """Drive `flow` to its end; returns its value or raises its exception."""
        answer: Any = None
        failure: Error | None = None
        outer = self._flow  # a flow may ask the program, which may use the connection as well
        try:
            self._flow = flow
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
        finally:
            self._flow = outer
            if self._is_disturbed and outer is None:
                self._settle()

    def ask(self, make: Callable[..., Any], a: Any, b: Any, c: Any) -> Answer | bytes | None:
        """Send `make(a, b, c)`, unless it is None, and receive once: a whole result, else bytes."""
        outer = self._flow
        try:
            self._flow = object()  # from here on it can be cancelled, and making takes time
            message = make(a, b, c)
            if message is None:
                return None
            present, self._came = self._socket, 0
            if present is not None and self._ask is not None:
                came = self._ask(present.fileno(), message) or self._exchange(b"")
                if self._is_disturbed:
                    self._heed()
                return came
            chunk = self._exchange(message)
            return decode_answer(chunk) or chunk
        except OSError as error:
            raise self._failed(error) from None
        finally:
            self._flow = outer
            if self._is_disturbed and outer is None:
                self._settle()

    def cancel(self) -> None:
        """Make the running flow fail at once with `Interrupted`; may be called from any thread.

        Its socket is dropped. Nothing happens if no flow runs. Only the look-up of a host's name
        cannot be woken; the flow fails when it is over.
        """
        flow = self._flow
        if flow is None:
            return
        self._cancelled = flow
        self._is_disturbed = True
        self._wake.ring()
        finished = self._finished
        if finished is not None:
            finished.put(None)
        with self._guard:
            if self._flow is flow:
                _sockets.shut(self._socket)

    def close(self) -> None:
        """Close the socket, if there is one, and cancel a running flow; from any thread."""
        self.cancel()
        with self._guard:
            present, self._socket = self._socket, None
            if present is None:
                return
            _sockets.shut(present)
            if self._flow is None:
                present.close()
            else:
                self._orphan, self._is_disturbed = present, True

    def _settle(self) -> None:
        """After a flow: close what was left to its thread, and forget that it was cancelled."""
        with self._guard:
            self._is_disturbed = False
            self._cancelled, self._wake = _NOBODY, Bell()
            orphan, self._orphan = self._orphan, None
            if orphan is not None:
                orphan.close()

    def abandon(self) -> None:
        """In a forked child: close the descriptor, which leaves the parent's connection alone."""
        sockets = (self._socket, self._orphan)
        self._socket = self._orphan = self._flow = self._finished = None
        self._guard, self._wake = threading.RLock(), Bell()
        for inherited in sockets:
            if inherited is not None:
                inherited.close()

    # -- exchanges

    def _exchange(self, message: Any, room: memoryview | None = None, answered: bool = True) -> Any:
        """Send `message`, and receive if it is `answered`: into `room` (a count), else a chunk."""
        present, self._came = self._socket, 0 if message else self._came
        if present is None:
            raise self._lost("the connection is closed")
        chunk: bytes | int
        try:
            if self._talk is not None and answered and room is None:
                chunk = self._talk(present.fileno(), message, self._came)
                self._came += len(chunk)
                if self._is_disturbed:  # while parts were gathered
                    self._heed()
            else:
                if message:
                    present.sendall(message)
                elif self._is_tcp:
                    _sockets.acknowledge(present)
                if not answered:
                    return None
                if room is not None:
                    chunk = present.recv_into(room)
                else:
                    chunk = present.recv(_CHUNK if message else _MORE)
        except OSError as error:
            raise self._failed(error) from None
        if not chunk:
            raise self._lost("the member closed the connection")
        return chunk

    def _failed(self, error: OSError) -> Error:
        """Drop the socket; the error for what the system says of an exchange."""
        if isinstance(error, (BlockingIOError, TimeoutError)):
            self._drop()
            return Timeout(f"no answer within {self._limit:g} s", address=self._address)
        return self._lost(str(error), error)

    def _lost(self, reason: str, error: OSError | None = None) -> Error:
        """Drop the socket; the error for its loss, of which `cancel` may be the cause."""
        self._drop()
        if self._cancelled is self._flow:
            return self._interruption()
        if self._is_new and self._tls is not None:
            return self._tls.failure(error, self._address)
        return ConnectionLost(reason, address=self._address)

    def _drop(self) -> None:
        """Close the socket, from the thread that uses it."""
        with self._guard:
            present, self._socket = self._socket, None
            if present is not None:
                _sockets.shut(present)
                present.close()

    def _heed(self) -> None:
        """Raise `Interrupted` if the flow was cancelled; its socket is dropped."""
        if self._cancelled is self._flow:
            self._drop()
            raise self._interruption()
        if self._stopped is not None and self._stopped.is_set():
            self._drop()
            raise InterfaceError("another member answered first")

    def _interruption(self) -> Interrupted:
        return Interrupted("the call was cancelled", address=self._address)

    def _check(self) -> None:
        present = self._socket
        try:
            if present is None:
                pass
            elif self._tls is None:
                present.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            else:
                _sockets.take_records(present, self._limit)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(str(error)) from None
        raise self._lost("the member closed the connection")

    # -- the other effects

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, effects.Send):
            return self._exchange(effect.message, answered=False)
        if isinstance(effect, effects.Into):
            return self._exchange(b"", effect.room)
        if isinstance(effect, effects.Open):
            return self._open(effect.address, effect.timeout)
        if isinstance(effect, effects.Limit):
            self._is_new = False  # whoever sets a limit has read the first answers
            return self._set_limit(effect.seconds)
        if isinstance(effect, effects.Check):
            return self._check()
        if isinstance(effect, effects.Sleep):
            return self._sleep(effect.seconds)
        if isinstance(effect, Race):
            return self._race(effect)
        raise TypeError(f"a flow yielded {effect!r}")

    def _open(self, address: str, timeout: float) -> None:
        give_up = time.monotonic() + timeout
        self._drop()
        self._address = address
        self._is_new = False
        connected = self._connect(address, give_up, timeout)
        try:
            self._is_tcp = connected.family != socket.AF_UNIX
            if self._is_tcp:
                _sockets.tune(connected, self._keepalive, self._user_timeout)
            is_plain = type(connected).recv is _RECV
            self._ask, self._talk = (ask, exchange) if is_plain else (None, None)
            if self._tls is not None:
                self._is_new = True
                connected.settimeout(max(give_up - time.monotonic(), 0.001))
                self._heed()
                self._tls.shake_hands(cast("ssl.SSLSocket", connected))
            self._set_limit(timeout)
        except OSError as error:
            raise self._lost(str(error), error) from None

    def _connect(self, address: str, give_up: float, timeout: float) -> socket.socket:
        """Connect to the first of the address's hosts that can be reached."""
        problem: OSError | None = None
        for family, target in _sockets.resolve(address):
            try:
                connecting = socket.socket(family, socket.SOCK_STREAM)
                self._use(connecting)
                if self._tls is not None:
                    connecting = self._tls.wrap(connecting, address)
                    self._use(connecting)
                connecting.settimeout(max(give_up - time.monotonic(), 0.001))
                connecting.connect(target)
                connecting.settimeout(None)
            except OSError as error:
                self._drop()
                problem = error
            except ValueError:
                self._drop()
                raise TLS.bad_name(address) from None
            else:
                self._heed()
                return connecting
        self._heed()
        if isinstance(problem, TimeoutError):
            raise Timeout(f"no connection within {timeout:g} s", address=address)
        raise _sockets.unreachable(problem, address)

    def _use(self, fresh: socket.socket) -> None:
        """Show a socket to `cancel`, unless that came before."""
        with self._guard:
            self._socket = fresh
        self._heed()

    def _set_limit(self, seconds: float) -> None:
        self._limit = seconds = max(seconds, 1e-6)
        present = self._socket
        if present is not None and self._tls is not None:
            present.settimeout(seconds)
        elif present is not None:
            _sockets.limit(present, seconds)

    def _sleep(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        self._heed()
        while self._wake.wait(give_up - time.monotonic()):
            self._heed()

    # -- races

    def _race(self, race: Race) -> RaceResult:
        """Run the flows on threads, adopt the winner's socket and stop the others."""
        from concurrent.futures import ThreadPoolExecutor

        stopped = threading.Event()
        runners = [
            SyncIO(stopped, self._tls, keepalive=self._keepalive, user_timeout=self._user_timeout)
            for _ in race.flows
        ]
        errors: dict[SyncIO, Error] = {}
        finished: SimpleQueue[Future[Any] | None] = SimpleQueue()
        pool = ThreadPoolExecutor(min(race.width, len(runners)), "dqlite-search")
        self._finished = finished
        try:
            self._heed()
            pending = {
                pool.submit(runner.compete, flow): runner
                for runner, flow in zip(runners, race.flows, strict=True)
            }
            for future in pending:
                future.add_done_callback(finished.put)
            while pending:
                done = finished.get()
                self._heed()
                if done is None:
                    continue
                runner = pending.pop(done)
                value, error = done.result()
                if error is None:
                    self._adopt(runner)
                    return RaceResult(value, ())
                errors[runner] = error
        finally:
            self._finished = None
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
            if self._stopped is not None and self._stopped.is_set():
                self._drop()

    def _adopt(self, winner: SyncIO) -> None:
        self._drop()
        with winner._guard:
            adopted, winner._socket = winner._socket, None
        self._address, self._limit = winner._address, winner._limit
        self._is_tcp, self._is_new = winner._is_tcp, winner._is_new
        self._ask, self._talk = winner._ask, winner._talk
        if adopted is not None:
            self._use(adopted)
