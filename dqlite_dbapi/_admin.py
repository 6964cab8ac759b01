"""What sync and asyncio cluster clients share: one flow for each job, from dialling to answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from dqlite_dbapi.errors import OperationalError
from dqlite_dbapi.nodestore import shared_store
from dqlite_dbapi.options import Options, check_database, parse
from dqlite_dbapi.protocol import admin
from dqlite_dbapi.protocol.effects import Flow, Open
from dqlite_dbapi.protocol.leader import LeaderSearch
from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Metadata

T = TypeVar("T")
#: A new voter has to catch up first; the engine gives up after 50 s (wire-protocol 8.2).
_CATCH_UP = 60.0


class NodeInfo(NamedTuple):
    """One member: `role` is 0 voter, 1 standby, 2 spare."""

    id: int
    address: str
    role: int
    is_leader: bool

    @property
    def role_name(self) -> str:
        """`voter`, `standby` or `spare`."""
        return Role(self.role).name.lower()


class BaseClient:
    """Options of a cluster client and the flows that its public methods run."""

    def __init__(self, addresses: str | Iterable[str], *, timeout: float = 10.0) -> None:
        """Any one reachable member in `addresses` is enough; `timeout` in seconds for each call."""
        self._options: Options = parse(addresses, timeout=timeout)
        self._store = shared_store(self._options.addresses)

    def _at_leader(
        self, job: Callable[[Session], Flow[T]], *, timeout: float | None = None
    ) -> Flow[T]:
        """Find the leader, run `job` there; `NoLeader` when there is none in time."""
        search = LeaderSearch(self._store, admin.greet, time.monotonic, random.random)
        limit = self._options.timeout
        session = yield from search.find(time.monotonic() + limit, timeout or limit)
        return (yield from job(session))

    def _at(self, address: str, job: Callable[[Session], Flow[T]]) -> Flow[T]:
        """Run `job` at the member `address`, leader or not."""
        limit = self._options.timeout
        session = Session(address, time.monotonic, limit)
        yield Open(address, limit)
        yield from session.open(None)
        return (yield from job(session))

    def _leader(self) -> Flow[str]:
        return self._at_leader(_address)

    def _cluster(self) -> Flow[list[NodeInfo]]:
        return self._at_leader(_members)

    def _add(self, member_id: int, address: str) -> Flow[None]:
        """Reachability first: an unreachable voter blocks all changes for 50 s (hazard H40)."""
        yield from self._at(address, _nothing)
        job = _bound(admin.add, member_id, address)
        yield from self._at_leader(job, timeout=_CATCH_UP)

    def _assign(self, member_id: int, role: Role) -> Flow[None]:
        if role is not Role.SPARE:
            members = yield from self._cluster()
            yield from self._at(_find(members, member_id).address, _nothing)
        yield from self._at_leader(_bound(admin.assign, member_id, role), timeout=_CATCH_UP)

    def _remove(self, member_id: int) -> Flow[None]:
        """A leader hands over first, so that no election is needed."""
        members = yield from self._cluster()
        member = _find(members, member_id)
        if member.is_leader and sum(other.role == Role.VOTER for other in members) > 1:
            yield from self._at_leader(_bound(admin.transfer, 0))
        yield from self._at_leader(_bound(admin.remove, member_id))

    def _transfer(self, member_id: int) -> Flow[None]:
        yield from self._at_leader(_bound(admin.transfer, member_id))

    def _describe(self, address: str) -> Flow[Metadata]:
        return self._at(address, admin.describe)

    def _weight(self, address: str, value: int) -> Flow[None]:
        return self._at(address, _bound(admin.weight, value))

    def _dump(self, database: str, address: str | None) -> Flow[tuple[tuple[str, bytes], ...]]:
        job = _bound(admin.dump, check_database(database))
        answer = yield from self._at(address, job) if address else self._at_leader(job)
        return answer.files  # type: ignore[no-any-return]


def _bound(job: Callable[..., Flow[Any]], *values: Any) -> Callable[[Session], Flow[Any]]:
    return lambda session: job(session, *values)


def _address(session: Session) -> Flow[str]:
    yield from ()
    return session.address


def _nothing(session: Session) -> Flow[None]:
    yield from ()


def _members(session: Session) -> Flow[list[NodeInfo]]:
    members = yield from admin.cluster(session)
    return [NodeInfo(*member, member.address == session.address) for member in members]


def _find(members: list[NodeInfo], member_id: int) -> NodeInfo:
    for member in members:
        if member.id == member_id:
            return member
    known = ", ".join(str(member.id) for member in members)
    raise OperationalError(f"there is no member {member_id}; the members are {known}")
