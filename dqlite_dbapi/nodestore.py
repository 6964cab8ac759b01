"""Node stores: the addresses at which a cluster's members can be asked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.constants import Role


class MemoryNodeStore:
    """Given addresses, members learned from the cluster, and the last known leader.

    Safe for use by several threads: every change replaces one tuple or string.
    """

    def __init__(self, addresses: tuple[str, ...]) -> None:
        """`addresses` are asked for ever, whatever the cluster says of itself."""
        self._given = addresses
        self._learned: tuple[str, ...] = ()
        self._leader = ""

    def candidates(self) -> tuple[str, ...]:
        """Addresses to ask: the last leader, the voters, then the others."""
        leader = (self._leader,) if self._leader else ()
        return tuple(dict.fromkeys((*leader, *self._given, *self._learned)))

    def learn(self, session: Session) -> None:
        """Remember the leader that answered and the members it listed, voters first."""
        self._leader = session.address
        if session.members:
            ranked = sorted(session.members, key=lambda member: member.role != Role.VOTER)
            self._learned = tuple(member.address for member in ranked)

    def forget(self, address: str) -> None:
        """Ask `address` no longer first."""
        if self._leader == address:
            self._leader = ""


_LIMIT = 64
_shared: OrderedDict[Hashable, MemoryNodeStore] = OrderedDict()
_lock = threading.Lock()


def shared_store(addresses: tuple[str, ...]) -> MemoryNodeStore:
    """The process's store for these addresses, so that connections learn from each other."""
    with _lock:
        store = _shared.pop(addresses, None) or MemoryNodeStore(addresses)
        _shared[addresses] = store
        while len(_shared) > _LIMIT:
            _shared.popitem(last=False)
        return store
