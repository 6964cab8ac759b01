"""Node stores: the addresses at which a cluster's members can be asked.

The file form is go-dqlite's: a YAML list of mappings with the keys ID, Address and Role.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dqlite_dbapi.errors import InterfaceError
from dqlite_dbapi.options import parse_address
from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Member

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger("dqlite_dbapi.nodestore")
_FRESH = 5.0  # seconds for which members that were listed are not asked for again


class MemoryNodeStore:
    """Given addresses, members learned from the cluster, and the last known leader.

    Safe for use by several threads: every change replaces one tuple or string.
    """

    def __init__(self, addresses: tuple[str, ...], known: Sequence[Member] = ()) -> None:
        """`addresses` are asked for ever, whatever the cluster says; `known` until it says more."""
        self._given = addresses
        self._learned = _ranked(known)
        self._leader = ""
        self._slow: frozenset[str] = frozenset()
        self._learned_at = -math.inf
        self.databases: frozenset[str] = frozenset()  #: names that this process has opened there

    def candidates(self) -> tuple[str, ...]:
        """Addresses to ask: the last leader, the voters, the others, and last the slow ones."""
        leader = (self._leader,) if self._leader else ()
        found = dict.fromkeys((*leader, *self._given, *self._learned))
        return tuple(sorted(found, key=self._slow.__contains__))

    def learn(self, session: Session) -> None:
        """Remember the leader that answered and the members it listed, voters first."""
        self._leader = session.address
        self._slow -= {session.address}
        if session.members:
            self._learned = _ranked(session.members)
            self._learned_at = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Whether the members were listed just now, and the leader has answered since."""
        return bool(self._leader) and time.monotonic() < self._learned_at + _FRESH

    def forget(self, address: str, *, is_slow: bool = False) -> None:
        """Ask `address` no longer first; last of all if it `is_slow`, until it leads again."""
        if self._leader == address:
            self._leader = ""
        self._slow = self._slow | {address} if is_slow else self._slow - {address}


class FileNodeStore(MemoryNodeStore):
    """A node store that outlives the process, in a file that Go programs read as well."""

    def __init__(self, path: str, addresses: tuple[str, ...]) -> None:
        """Read `path` if it is there; `InterfaceError` for a file of another form."""
        from pathlib import Path

        self._path = Path(path)
        self._written = read_members(self._path)
        super().__init__(addresses, self._written)
        if not self.candidates():
            raise InterfaceError(
                f"node store {path} names no members and no address was given",
                hint="give at least one address the first time",
            )

    def learn(self, session: Session) -> None:
        """Remember the members, in the file as well; a file that cannot be written is logged."""
        super().learn(session)
        if not session.members or session.members == self._written:
            return
        try:
            write_members(self._path, session.members)
        except OSError as error:
            _log.warning("node store %s cannot be written: %s", self._path, error.strerror)
        self._written = session.members


def _ranked(members: Sequence[Member]) -> tuple[str, ...]:
    ranked = sorted(members, key=lambda member: member.role != Role.VOTER)
    return tuple(member.address for member in ranked)


def read_members(path: Path) -> tuple[Member, ...]:
    """Members in a YAML node store, none if it does not exist; `InterfaceError` if damaged."""
    import yaml

    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        return tuple(
            Member(int(row["ID"]), parse_address(str(row["Address"])), int(row["Role"]))
            for row in rows
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise InterfaceError(
            f"{path} cannot be read as a node store: {error!r}",
            hint="it is a YAML list of mappings with ID, Address and Role",
        ) from error


def write_members(path: Path, members: Sequence[Member]) -> None:
    """Write a YAML node store by temporary file (mode 0600) and rename."""
    import tempfile
    from pathlib import Path

    import yaml

    rows = [
        {"ID": member.id, "Address": member.address, "Role": int(member.role)} for member in members
    ]
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(rows, file, sort_keys=False)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


_LIMIT = 64
_Key = tuple[tuple[str, ...], str | None]
_shared: OrderedDict[_Key, MemoryNodeStore] = OrderedDict()
_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def shared_store(addresses: tuple[str, ...], path: str | None = None) -> MemoryNodeStore:
    """The process's store for these addresses, so that connections learn from each other."""
    key = (addresses, path)
    with _lock:
        store = _shared.pop(key, None)
        if store is None:
            store = FileNodeStore(path, addresses) if path else MemoryNodeStore(addresses)
        _shared[key] = store
        while len(_shared) > _LIMIT:
            _shared.popitem(last=False)
        return store
