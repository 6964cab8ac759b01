"""The sync cluster client."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from dqlite_dbapi._admin import BaseClient, BaseWatch, NodeInfo
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.options import Options
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.health import Change, Health, MemberHealth
from dqlite_dbapi.tls import from_options
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Metadata

T = TypeVar("T")
__all__ = ["Change", "Client", "Health", "MemberHealth", "NodeInfo", "Watch"]
_SIDE_BY_SIDE = 32


class Client(BaseClient):
    """Asks about and changes the membership of a cluster; each call dials anew.

    Threads may share it. Unless said otherwise a method raises `NoLeader` when no leader is found
    within `timeout`, and `InterfaceError` after `close`.
    """

    def __init__(
        self,
        addresses: str | Iterable[str] | Options | None = None,
        *,
        timeout: float = 10.0,
        **options: Any,
    ) -> None:
        """Any one reachable member in `addresses` is enough; `timeout` in seconds for each call.

        `addresses` and further options as for `connect`.
        """
        super().__init__(addresses, timeout, options)
        self._lock = threading.Lock()
        self._tls = from_options(self._options)
        self._io = self._new_io()
        self._ended = threading.Event()

    def leader(self) -> str:
        """Address of the leader."""
        return self._run(self._leader())

    def cluster(self) -> list[NodeInfo]:
        """All members by their ids, as the leader sees them."""
        return self._run(self._cluster())

    def add(self, member_id: int, address: str, role: Role | int = Role.VOTER) -> None:
        """Make the running member at `address` a voter; nothing to do when it is one.

        With `role` a standby (1) or spare (2) instead.

        `OperationalError` when the id or the address belongs to another member.
        """
        self._run(self._add(member_id, address, Role(role)))

    def assign(self, member_id: int, role: Role | int) -> None:
        """Make a member a voter (0), standby (1) or spare (2).

        A leader hands leadership over first; `NotSupportedError` for the last voter.
        """
        self._run(self._assign(member_id, Role(role)))

    def remove(self, member_id: int) -> None:
        """Take a member out; a leader hands leadership over first.

        `NotSupportedError` for the last voter.
        """
        self._run(self._remove(member_id))

    def transfer(self, member_id: int = 0) -> None:
        """Hand leadership to a voter, 0 for any other one; nothing to do when it leads."""
        self._run(self._transfer(member_id))

    def describe(self, address: str) -> Metadata:
        """Failure domain and weight of the member at `address`."""
        return self._run(self._describe(address))

    def weight(self, address: str, value: int) -> None:
        """Set the weight of the member at `address`, kept until that restarts."""
        self._run(self._weight(address, value))

    def dump(self, database: str, address: str | None = None) -> tuple[tuple[str, bytes], ...]:
        """Name and content of the database file and of its write-ahead log.

        From the leader, or from the member at `address`, whose copy may be a little older. Both
        are held in memory; `dqlite_dbapi.snapshot.dump` writes an ordinary file instead.
        """
        return self._run(self._dump(database, address))

    def health(self, timeout: float = 1.0, *, database: str | None = None) -> Health:
        """Ask all members side by side how they are; takes `timeout` seconds at most.

        Raises no error for members that do not answer. With `database` its leader must also
        answer a read there, within one second more.
        """
        from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

        look = self._look(timeout)
        pool = ThreadPoolExecutor(_SIDE_BY_SIDE, "dqlite-health")
        try:
            pending: set[Future[Any]] = set()
            while True:
                pending |= {pool.submit(self._ask, flow) for flow in look.probes()}
                done, pending = wait(pending, look.left, FIRST_COMPLETED)
                if not done:
                    break
                for future in done:
                    look.add(future.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        confirmation = look.confirmation(database)
        return look.health(self._ask(confirmation) if confirmation else None)

    def watch(self, interval: float = 1.0, *, timeout: float = 1.0) -> Watch:
        """An endless iterator of changes, looked for every `interval` seconds.

        Its first item is the present `state`. It ends when it or the client is closed.
        """
        self._require_open()
        return Watch(self, interval, timeout)

    def close(self) -> None:
        """Close the client; may be repeated."""
        self._closed = True
        self._ended.set()
        self._io.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _new_io(self) -> SyncIO:
        options = self._options
        return SyncIO(
            tls=self._tls, keepalive=options.keepalive, user_timeout=options.tcp_user_timeout
        )

    def _ask(self, flow: Flow[T]) -> T:
        """Run a flow on a socket of its own."""
        io = self._new_io()
        try:
            return io.run(flow)
        finally:
            io.close()

    def _run(self, flow: Flow[T]) -> T:
        with self._lock:
            self._require_open()
            try:
                return self._io.run(flow)
            finally:
                self._io.close()


class Watch(BaseWatch):
    """Iterator of `Change`; made by `Client.watch`."""

    def __init__(self, client: Client, interval: float, timeout: float) -> None:
        super().__init__(interval)
        self._client = client
        self._timeout = timeout
        self._ended = False

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        """Wait for the next change."""
        while not self._changes:
            if self._last is not None:
                self._client._ended.wait(self._interval)
            if self._ended or self._client.closed:
                raise StopIteration
            self._observe(self._client.health(self._timeout))
        return self._changes.popleft()

    def close(self) -> None:
        """End the iteration after the present wait; may be called from any thread."""
        self._ended = True
