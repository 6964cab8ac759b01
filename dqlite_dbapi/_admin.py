"""What sync and asyncio cluster clients share: one flow for each job, from dialling to answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from dqlite_dbapi._chance import draw
from dqlite_dbapi.errors import ClientClosed, ConnectionLost, NotLeader, OperationalError
from dqlite_dbapi.nodestore import shared_store
from dqlite_dbapi.options import Options, check_database, parse
from dqlite_dbapi.protocol import admin, health
from dqlite_dbapi.protocol.effects import Flow, Open, Sleep
from dqlite_dbapi.protocol.leader import LeaderSearch
from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Metadata

T = TypeVar("T")
#: A new voter has to catch up first; the engine gives up after 50 s (wire-protocol 8.2).
_CATCH_UP = 60.0
_PAUSE = 0.05


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

    def __init__(
        self, addresses: str | Iterable[str] | Options | None, timeout: float, options: Any
    ) -> None:
        self._options: Options = parse(addresses, timeout=timeout, **options)
        self._store = shared_store(self._options.addresses, self._options.node_store)
        self._closed = False

    @property
    def options(self) -> Options:
        """The options that the client was made with."""
        return self._options

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self._closed

    def _require_open(self) -> None:
        if self._closed:
            raise ClientClosed("the cluster client is closed")

    def _at_leader(
        self,
        job: Callable[[Session], Flow[T]],
        *,
        timeout: float | None = None,
        again_after: type[ConnectionLost] = NotLeader,
    ) -> Flow[T]:
        """Find the leader, run `job` there; `NoLeader` when there is none in time.

        Where the leader steps down before it does anything, the next one is asked. A `job` that may
        be done twice is asked for again after any `ConnectionLost`, if `again_after` says so.
        """
        search = LeaderSearch(self._store, admin.greet, time.monotonic, draw)
        limit = self._options.timeout
        deadline = time.monotonic() + limit
        while True:
            session = yield from search.find(deadline, timeout or limit)
            try:
                return (yield from job(session))
            except again_after:
                self._store.forget(session.address)
                if time.monotonic() >= deadline:
                    raise
            yield Sleep(_PAUSE)

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

    def _add(self, member_id: int, address: str, role: Role) -> Flow[None]:
        """Reachability first: an unreachable voter blocks all changes for 50 s (hazard H40)."""
        yield from self._at(address, _nothing)
        job = _bound(admin.add, member_id, address, role)
        yield from self._at_leader(job, timeout=_CATCH_UP)

    def _assign(self, member_id: int, role: Role) -> Flow[None]:
        """Reachability first, as above; a leader that is demoted hands over first."""
        members = yield from self._cluster()
        member = _find(members, member_id)
        if role is Role.VOTER or (role is Role.STANDBY and member.role != Role.VOTER):
            yield from self._at(member.address, _nothing)
        else:
            yield from self._hand_over(member, members)
        yield from self._at_leader(_bound(admin.assign, member_id, role), timeout=_CATCH_UP)

    def _remove(self, member_id: int) -> Flow[None]:
        members = yield from self._cluster()
        yield from self._hand_over(_find(members, member_id), members)
        yield from self._at_leader(_bound(admin.remove, member_id), again_after=ConnectionLost)

    def _hand_over(self, member: NodeInfo, members: list[NodeInfo]) -> Flow[None]:
        """A leader gives leadership away before it goes, so that no election is needed."""
        if member.is_leader and sum(other.role == Role.VOTER for other in members) > 1:
            yield from self._at_leader(_bound(admin.transfer, 0))

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

    def _look(self, timeout: float) -> Look:
        self._require_open()
        return Look(self._store, time.monotonic() + timeout)


class Look:
    """One look at the health of a cluster: what to ask whom, side by side, until `deadline`."""

    def __init__(self, store: Any, deadline: float) -> None:
        self.deadline = deadline
        self._store = store
        self._survey = health.Survey(store.candidates())
        self.add = self._survey.add

    @property
    def left(self) -> float:
        """Seconds until the deadline, not below 0."""
        return max(self.deadline - time.monotonic(), 0.0)

    def probes(self) -> list[Flow[health.Probe]]:
        """Flows to run now, each on a socket of its own; their results go to `add`."""
        return [
            health.probe(address, self.deadline, time.monotonic, self._store.learn)
            for address in self._survey.take()
        ]

    def confirmation(self, database: str | None) -> Flow[str] | None:
        """The flow whose result `health` takes; None when there is nothing to ask."""
        leader = self._survey.leader()
        if database is None or leader is None:
            return None
        name = check_database(database)
        return health.confirm(leader, name, self.deadline + 1.0, time.monotonic)

    def health(self, problem: str | None = None) -> health.Health:
        """What was found."""
        return self._survey.health(problem)


class BaseWatch:
    """The changes that one watcher has seen and not given out yet."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: health.Health | None = None
        self._changes: deque[health.Change] = deque()

    def _observe(self, state: health.Health) -> None:
        self._changes += health.changes(self._last, state)
        self._last = state


def _bound(job: Callable[..., Flow[Any]], *values: Any) -> Callable[[Session], Flow[Any]]:
    return lambda session: job(session, *values)


def _address(session: Session) -> Flow[str]:
    yield from ()
    return session.address


def _nothing(session: Session) -> Flow[None]:
    yield from ()


def _members(session: Session) -> Flow[list[NodeInfo]]:
    members = yield from admin.cluster(session)
    return [NodeInfo(*member, member.address == session.address) for member in sorted(members)]


def _find(members: list[NodeInfo], member_id: int) -> NodeInfo:
    for member in members:
        if member.id == member_id:
            return member
    known = ", ".join(str(member.id) for member in members)
    raise OperationalError(f"there is no member {member_id}; the members are {known}")
