"""The asyncio cluster client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, TypeVar

from dqlite_dbapi._admin import BaseClient, BaseWatch, NodeInfo
from dqlite_dbapi._async import AsyncIO
from dqlite_dbapi.options import Options
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.health import Change, Health, MemberHealth
from dqlite_dbapi.tls import from_options
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Metadata

T = TypeVar("T")
__all__ = ["AsyncClient", "AsyncWatch", "Change", "Health", "MemberHealth", "NodeInfo"]


class AsyncClient(BaseClient):
    """Asks about and changes the membership of a cluster; each call dials anew.

    Tasks of one event loop may share it. Unless said otherwise a method raises `NoLeader` when no
    leader is found within `timeout`, and `InterfaceError` after `close`.
    """

    def __init__(
        self,
        addresses: str | Iterable[str] | Options | None = None,
        *,
        timeout: float = 10.0,
        **options: Any,
    ) -> None:
        """Any one reachable member in `addresses` is enough; `timeout` in seconds for each call.

        `addresses` and further options as for `connect`. Nothing is sent yet.
        """
        super().__init__(addresses, timeout, options)
        self._tls = from_options(self._options)
        self._ended = asyncio.Event()

    async def leader(self) -> str:
        """Address of the leader."""
        return await self._run(self._leader())

    async def cluster(self) -> list[NodeInfo]:
        """All members by their ids, as the leader sees them."""
        return await self._run(self._cluster())

    async def add(self, member_id: int, address: str, role: Role | int = Role.VOTER) -> None:
        """Make the running member at `address` a voter; nothing to do when it is one.

        With `role` a standby (1) or spare (2) instead.

        `OperationalError` when the id or the address belongs to another member.
        """
        await self._run(self._add(member_id, address, Role(role)))

    async def assign(self, member_id: int, role: Role | int) -> None:
        """Make a member a voter (0), standby (1) or spare (2).

        A leader hands leadership over first; `NotSupportedError` for the last voter.
        """
        await self._run(self._assign(member_id, Role(role)))

    async def remove(self, member_id: int) -> None:
        """Take a member out; a leader hands leadership over first.

        `NotSupportedError` for the last voter.
        """
        await self._run(self._remove(member_id))

    async def transfer(self, member_id: int = 0) -> None:
        """Hand leadership to a voter, 0 for any other one; nothing to do when it leads."""
        await self._run(self._transfer(member_id))

    async def describe(self, address: str) -> Metadata:
        """Failure domain and weight of the member at `address`."""
        return await self._run(self._describe(address))

    async def weight(self, address: str, value: int) -> None:
        """Set the weight of the member at `address`, kept until that restarts."""
        await self._run(self._weight(address, value))

    async def dump(
        self, database: str, address: str | None = None
    ) -> tuple[tuple[str, bytes], ...]:
        """Name and content of the database file and of its write-ahead log.

        From the leader, or from the member at `address`, whose copy may be a little older. Both
        are held in memory; `dqlite_dbapi.aio.snapshot.dump` writes an ordinary file instead.
        """
        return await self._run(self._dump(database, address))

    async def health(self, timeout: float = 1.0, *, database: str | None = None) -> Health:
        """Ask all members side by side how they are; takes `timeout` seconds at most.

        Raises no error for members that do not answer. With `database` its leader must also
        answer a read there, within one second more.
        """
        look = self._look(timeout)
        pending: set[asyncio.Task[Any]] = set()
        try:
            while True:
                pending |= {asyncio.ensure_future(self._ask(flow)) for flow in look.probes()}
                if not pending:
                    break
                done, pending = await asyncio.wait(
                    pending, timeout=look.left, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    look.add(task.result())
        finally:
            for task in pending:
                task.cancel()
        confirmation = look.confirmation(database)
        return look.health(await self._ask(confirmation) if confirmation else None)

    def watch(self, interval: float = 1.0, *, timeout: float = 1.0) -> AsyncWatch:
        """An endless asynchronous iterator of changes, looked for every `interval` seconds.

        Its first item is the present `state`. It ends when it or the client is closed.
        """
        self._require_open()
        return AsyncWatch(self, interval, timeout)

    async def close(self) -> None:
        """Close the client; may be repeated."""
        self._closed = True
        self._ended.set()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, flow: Flow[T]) -> T:
        """Run a flow on a socket of its own."""
        options = self._options
        io = AsyncIO(self._tls, keepalive=options.keepalive, user_timeout=options.tcp_user_timeout)
        try:
            return await io.run(flow)
        finally:
            io.close()

    async def _run(self, flow: Flow[T]) -> T:
        self._require_open()
        return await self._ask(flow)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond `close`."""
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except asyncio.TimeoutError:
            return


class AsyncWatch(BaseWatch):
    """Asynchronous iterator of `Change`; made by `AsyncClient.watch`."""

    def __init__(self, client: AsyncClient, interval: float, timeout: float) -> None:
        super().__init__(interval)
        self._client = client
        self._timeout = timeout
        self._ended = False

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change."""
        while not self._changes:
            if self._last is not None:
                await self._client._pause(self._interval)
            if self._ended or self._client.closed:
                raise StopAsyncIteration
            self._observe(await self._client.health(self._timeout))
        return self._changes.popleft()

    async def close(self) -> None:
        """End the iteration after the present wait."""
        self._ended = True
