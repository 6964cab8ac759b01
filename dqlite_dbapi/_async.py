"""The asyncio runner: the only file of the asyncio driver that touches a socket."""

from __future__ import annotations

import asyncio
import math
import os
import select
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from dqlite_dbapi._sockets import leave_to_parent, literal, resolve, tune, unreachable
from dqlite_dbapi._transport import Answer, PlainWire, SecureWire, Wire
from dqlite_dbapi.errors import ConnectionLost, Error, Interrupted, Timeout
from dqlite_dbapi.protocol.effects import (
    Check,
    Effect,
    Flow,
    Into,
    Limit,
    Open,
    Race,
    RaceResult,
    Send,
    Sleep,
)
from dqlite_dbapi.tls import TLS

T = TypeVar("T")
_TURNS = 8
_SHORT = 1 << 14  # bytes that an idle socket takes at once


class AsyncIO:
    """Runs flows on one connection at a time; one flow at a time."""

    def __init__(
        self, tls: TLS | None = None, *, keepalive: float = 15.0, user_timeout: float = 30.0
    ) -> None:
        """With `tls` nothing is sent plainly.

        Seconds of silence before a keep-alive probe, and for data that is not acknowledged.
        """
        self._wire: Wire | None = None
        self._address = ""
        self._limit = 0.0
        self._tls = tls
        self._keepalive = keepalive
        self._user_timeout = user_timeout
        self._waiting: asyncio.Future[Any] | Answer | None = None
        self._is_cancelled = False
        self._deadline: float | None = None  # of the exchange that is waited for
        self._timer: asyncio.TimerHandle | None = None
        self._alarm = math.inf  # when that is due
        leave_to_parent(self)

    async def run(self, flow: Flow[T]) -> T:
        """Drive `flow` to its end; returns its value or raises its exception."""
        answer: Any = None
        failure: Error | None = None
        self._is_cancelled = False
        try:
            while True:
                effect = flow.throw(failure) if failure is not None else flow.send(answer)
                failure = None
                try:
                    if effect.__class__ is bytes:
                        answer = await self._exchange(effect)
                    else:
                        answer = await self._perform(effect)
                except Error as error:
                    failure = error
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def ask(self, message: bytes) -> Awaitable[Any]:
        """Send `message`; to be awaited: the first chunk of its answer, or a whole result.

        It costs neither a flow nor a coroutine. An `Error` is to be passed to `failed`.
        """
        self._is_cancelled = False
        wire = self._wire
        if wire is None or len(message) > _SHORT:
            return self._exchange(message)
        wire.send(message)
        answer = wire.receive(decodes=True)
        self._await_in_time(answer, wire.loop)
        return answer

    def failed(self, error: Error) -> Error:
        """The error of an exchange, with the member's address; the connection is dropped."""
        self.close()
        if error.address is None:
            error = type(error)(error.message, address=self._address)
        return error

    def close(self) -> None:
        """Drop the connection, if there is one."""
        wire, self._wire = self._wire, None
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            self._alarm = math.inf
        if wire is not None:
            wire.abort()

    def abandon(self) -> None:
        """In a forked child: let go of the socket. The loop's poller still belongs to the parent.

        So the connection is neither closed nor forgotten; its descriptor then leads nowhere.
        """
        wire, self._wire = self._wire, None
        if wire is not None and wire.fileno() >= 0:
            _inherited.append(wire)
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, wire.fileno(), inheritable=False)
            os.close(nowhere)

    def cancel(self) -> None:
        """Make the flow that is running fail with `Interrupted`; from the loop's own thread."""
        self._is_cancelled = True
        waiting = self._waiting
        if isinstance(waiting, asyncio.Task):
            waiting.cancel()
        elif waiting is not None and not waiting.done():
            waiting.set_exception(self._interruption())

    def _interruption(self) -> Interrupted:
        return Interrupted("the call was cancelled", address=self._address)

    async def _exchange(
        self, message: Any, room: memoryview | None = None, answered: bool = True
    ) -> Any:
        """Send `message`, and receive if it is `answered`: into `room` (a count), else a chunk."""
        wire = self._wire
        if wire is None:
            raise ConnectionLost("the connection is closed", address=self._address)
        try:
            if message:
                wire.send(message)
                if wire.writable is not None:
                    self._expect(wire.writable)
                    await wire.writable
            else:
                wire.acknowledge()
            if not answered:
                return None
            answer = wire.receive(room)
            self._expect(answer)
            return await answer
        except Error as error:
            raise self.failed(error) from None

    def _expect(self, future: asyncio.Future[Any] | Answer) -> None:
        """Have `future` fail when the exchange takes too long, or is cancelled."""
        if future.done():
            return
        if self._is_cancelled:
            future.cancel()
            raise self._interruption()
        self._await_in_time(future, future.get_loop())

    def _await_in_time(
        self, future: asyncio.Future[Any] | Answer, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._deadline = deadline = loop.time() + self._limit
        if self._alarm > deadline:
            self._watch(loop, deadline)
        self._waiting = future

    def _watch(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """Have one timer for many exchanges: it looks whether the present one is late."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(deadline, self._look, loop)
        self._alarm = deadline

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._alarm = None, math.inf
        waiting, deadline = self._waiting, self._deadline
        if waiting is None or waiting.done() or deadline is None:
            return
        if loop.time() < deadline:
            self._watch(loop, deadline)
            return
        waiting.set_exception(Timeout(f"no answer within {self._limit:g} s", address=self._address))

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Send):
            await self._exchange(effect.message, answered=False)
        elif isinstance(effect, Into):
            return await self._exchange(b"", effect.room)
        elif isinstance(effect, Open):
            await self._open(effect.address, effect.timeout)
        elif isinstance(effect, Limit):
            self._limit = effect.seconds
            if self._wire is not None:  # whoever sets a limit has read the first answers
                self._wire.settle()
        elif isinstance(effect, Check):
            await self._check()
        elif isinstance(effect, Sleep):
            await self._sleep(effect.seconds)
        elif isinstance(effect, Race):
            return await self._race(effect)
        else:
            raise TypeError(f"a flow yielded {effect!r}")
        return None

    async def _open(self, address: str, timeout: float) -> None:
        self.close()
        self._address = address
        self._limit = timeout
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(self._dial(loop, address))
        self._waiting, self._deadline = connecting, None
        try:
            done, _ = await asyncio.wait({connecting}, timeout=timeout)
            if self._is_cancelled:
                raise self._interruption()
            if not done:
                raise Timeout(f"no connection within {timeout:g} s", address=address)
            self._wire = connecting.result()
        except BaseException:
            connecting.cancel()
            connecting.add_done_callback(_abandon)
            raise
        finally:
            self._waiting = None

    async def _dial(self, loop: asyncio.AbstractEventLoop, address: str) -> Wire:
        connected = await self._connect(loop, address)
        tls = self._tls
        if tls is None:
            try:
                return PlainWire(loop, connected)
            except OSError as error:
                connected.close()
                raise unreachable(error, address) from None
        try:
            transport, wire = await loop.create_connection(
                lambda: SecureWire(loop, connected, partial(tls.failure, address=address)),
                sock=connected,
                ssl=tls.context,
                server_hostname=tls.name_for(address),
            )
            try:
                tls.check_version(transport.get_extra_info("ssl_object"))
            except OSError:
                wire.abort()
                raise
        except OSError as error:
            if tls.is_handshake(error):
                raise tls.failure(error, address) from None
            raise unreachable(error, address) from None
        except ValueError:  # before asyncio has made a transport that would close the socket
            connected.close()
            raise TLS.bad_name(address) from None
        return wire

    async def _connect(self, loop: asyncio.AbstractEventLoop, address: str) -> socket.socket:
        """Connect to the first of the address's hosts that can be reached."""
        problem: OSError | None = None
        hosts = literal(address) or await loop.run_in_executor(None, resolve, address)
        for family, target in hosts:
            connecting = socket.socket(family, socket.SOCK_STREAM)
            try:
                connecting.setblocking(False)
                await loop.sock_connect(connecting, target)
                if family != socket.AF_UNIX:
                    tune(connecting, self._keepalive, self._user_timeout)
            except OSError as error:
                connecting.close()
                problem = error
            except BaseException:
                connecting.close()
                raise
            else:
                return connecting
        raise unreachable(problem, address)

    async def _check(self) -> None:
        """A readable socket between two requests is one that the member has closed.

        Under TLS it may be session tickets, which the loop takes if it is given a turn.
        """
        wire = self._wire
        if wire is None:
            raise ConnectionLost("the connection is closed", address=self._address)
        poll = select.poll()
        for _ in range(_TURNS):
            if not wire.is_idle or wire.fileno() < 0:
                break
            poll.register(wire.fileno(), select.POLLIN)
            if not poll.poll(0):
                return
            if self._tls is None:
                break
            await asyncio.sleep(0)
        self.close()
        raise ConnectionLost("the member closed the connection", address=self._address)

    async def _sleep(self, seconds: float) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting, self._deadline = waiting, None
        timer = asyncio.get_running_loop().call_later(seconds, _wake, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None

    async def _race(self, race: Race) -> RaceResult:
        """Run the flows as tasks, adopt the winner's connection and stop the others."""
        gate = asyncio.Semaphore(race.width)
        runners = [self._sibling() for _ in race.flows]
        errors: dict[AsyncIO, Error] = {}

        async def compete(runner: AsyncIO, flow: Callable[[], Flow[Any]]) -> tuple[AsyncIO, Any]:
            async with gate:
                try:
                    return runner, await runner.run(flow())
                except Error as error:
                    errors[runner] = error
                    return runner, None

        pending = {
            asyncio.ensure_future(compete(runner, flow))
            for runner, flow in zip(runners, race.flows, strict=True)
        }
        stop: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting, self._deadline = stop, None
        try:
            while pending:
                done, _ = await asyncio.wait({*pending, stop}, return_when=asyncio.FIRST_COMPLETED)
                if stop in done:
                    stop.result()
                pending -= done
                for task in done:
                    runner, value = task.result()
                    if runner not in errors:
                        self._adopt(runner)
                        return RaceResult(value, ())
        finally:
            self._waiting = None
            stop.cancel()
            for task in pending:
                task.cancel()
            for runner in runners:
                runner.close()
        return RaceResult(None, tuple(errors[runner] for runner in runners))

    def _sibling(self) -> AsyncIO:
        return AsyncIO(self._tls, keepalive=self._keepalive, user_timeout=self._user_timeout)

    def _adopt(self, winner: AsyncIO) -> None:
        self.close()
        self._wire, winner._wire = winner._wire, None
        self._address, self._limit = winner._address, winner._limit


def _abandon(dialled: asyncio.Future[Wire]) -> None:
    """Close a connection that nobody waits for any more."""
    if not dialled.cancelled() and dialled.exception() is None:
        dialled.result().abort()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_inherited: list[Wire] = []
