"""The sync cluster client."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TypeVar

from dqlite_dbapi._admin import BaseClient, NodeInfo
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.errors import InterfaceError
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Metadata

T = TypeVar("T")
__all__ = ["Client", "NodeInfo"]


class Client(BaseClient):
    """Asks about and changes the membership of a cluster; each call dials anew.

    Every method raises `NoLeader` when no leader is found within `timeout`.
    """

    def __init__(self, addresses: str | Iterable[str], *, timeout: float = 10.0) -> None:
        """Any one reachable member in `addresses` is enough; `timeout` in seconds for each call."""
        super().__init__(addresses, timeout=timeout)
        self._lock = threading.Lock()
        self._io = SyncIO()
        self._closed = False

    def leader(self) -> str:
        """Address of the leader."""
        return self._run(self._leader())

    def cluster(self) -> list[NodeInfo]:
        """All members, as the leader sees them."""
        return self._run(self._cluster())

    def add(self, member_id: int, address: str) -> None:
        """Make the running member at `address` a voter; nothing to do when it is one.

        `OperationalError` when the id or the address belongs to another member.
        """
        self._run(self._add(member_id, address))

    def assign(self, member_id: int, role: Role | int) -> None:
        """Make a member a voter (0), standby (1) or spare (2)."""
        self._run(self._assign(member_id, Role(role)))

    def remove(self, member_id: int) -> None:
        """Take a member out; a leader hands leadership over first, the last voter is refused."""
        self._run(self._remove(member_id))

    def transfer(self, member_id: int = 0) -> None:
        """Hand leadership to a voter, 0 for any other one."""
        self._run(self._transfer(member_id))

    def describe(self, address: str) -> Metadata:
        """Failure domain and weight of the member at `address`."""
        return self._run(self._describe(address))

    def weight(self, address: str, value: int) -> None:
        """Set the weight of the member at `address`, kept until that restarts."""
        self._run(self._weight(address, value))

    def dump(self, database: str, address: str | None = None) -> tuple[tuple[str, bytes], ...]:
        """Name and content of the database file and of its write-ahead log.

        From the leader, or from the member at `address`, whose copy may be a little older.
        """
        return self._run(self._dump(database, address))

    def close(self) -> None:
        """Close the client; may be repeated."""
        self._closed = True
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

    def _run(self, flow: Flow[T]) -> T:
        with self._lock:
            if self._closed:
                raise InterfaceError("the client is closed")
            try:
                return self._io.run(flow)
            finally:
                self._io.close()
