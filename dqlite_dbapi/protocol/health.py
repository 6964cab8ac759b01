"""The state of a cluster, put together from what each member says about itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dqlite_dbapi.errors import Error
from dqlite_dbapi.protocol import admin
from dqlite_dbapi.protocol.effects import Flow, Open
from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.constants import Role
from dqlite_dbapi.wire.responses import Member, Metadata

#: What `Change.kind` may be.
CHANGES = ("state", "leader_changed", "member_added", "member_removed", "role_changed",
           "unreachable", "reachable")  # fmt: skip
_FEW_VOTERS = 2


@dataclass(frozen=True)
class MemberHealth:
    """One member: `round_trip` in ms, `error` why it could not be asked (None when it answered).

    `id` and `role` are None when no member could tell them, `weight` and `failure_domain` when
    this one did not answer. `follows` is the leader that it knows; only voters know one.
    `knows_voters`: how many voters it lists, None for none. One that is elected while it lists too
    few forgets the others, although the last leader has told that they vote (libdqlite 1.11).
    """

    id: int | None
    address: str
    role: Role | int | None
    is_leader: bool
    reachable: bool
    round_trip: float | None = None
    weight: int | None = None
    failure_domain: int | None = None
    error: str | None = None
    follows: str | None = None
    knows_voters: int | None = None

    @property
    def role_name(self) -> str:
        """`voter`, `standby`, `spare` or `unknown`."""
        return self.role.name.lower() if isinstance(self.role, Role) else "unknown"


@dataclass(frozen=True)
class Health:
    """State of a cluster as seen from here; `leader` is the address, None when nobody leads.

    `quorum` voters must be up for writes; `voters_reachable` of `voters` answered. `confirmed`:
    the leader answered a read (None: it was not asked). `warnings` are sentences for an operator.
    """

    leader: str | None
    members: tuple[MemberHealth, ...]
    quorum: int
    voters: int
    voters_reachable: int
    warnings: tuple[str, ...]
    confirmed: bool | None = None

    @property
    def has_quorum(self) -> bool:
        """True when enough voters answered for a majority."""
        return self.voters_reachable >= self.quorum

    @property
    def is_known(self) -> bool:
        """True when a member told who the members are; else they are the addresses given."""
        return any(member.id is not None for member in self.members)

    @property
    def is_healthy(self) -> bool:
        """True with a leader that serves, a quorum and every member reachable."""
        serves = self.leader is not None and self.confirmed is not False
        return serves and self.has_quorum and all(member.reachable for member in self.members)


@dataclass(frozen=True)
class Probe:
    """What one member answered; `error` when it did not. `round_trip` in ms."""

    address: str
    leader: str = ""
    members: tuple[Member, ...] = ()
    metadata: Metadata | None = None
    round_trip: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Change:
    """One thing that `watch` saw; `kind` is one of `CHANGES`.

    `address`: the member, for `leader_changed` and `state` the leader ("" when nobody leads).
    `before` and `after` are leaders' addresses or role names. `health` is the state that shows it.
    """

    kind: str
    address: str
    health: Health
    before: str = ""
    after: str = ""


def probe(
    address: str, deadline: float, clock: Callable[[], float], learn: Callable[[Session], None]
) -> Flow[Probe]:
    """Ask one member for its leader, its view of the members, its weight and domain.

    A member that leads is shown to `learn`.
    """
    session = Session(address, clock, max(deadline - clock(), 0.01))
    try:
        yield Open(address, session.patience)
        started = clock()
        yield from session.open(None)
        elapsed = (clock() - started) * 1000
        metadata = yield from admin.describe(session)
    except Error as error:
        return Probe(address, error=error.message)
    if session.leader == address:
        learn(session)
    return Probe(address, session.leader, session.members, metadata, elapsed)


def confirm(address: str, database: str, deadline: float, clock: Callable[[], float]) -> Flow[str]:
    """Have the leader answer a read, for which it needs a quorum; "", or why it does not."""
    session = Session(address, clock, max(deadline - clock(), 0.01))
    try:
        yield Open(address, session.patience)
        yield from session.open(database)
    except Error as error:
        return error.message or type(error).__name__
    return ""


class Survey:
    """Collects the probes of one look at a cluster; members named by others are asked as well."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._asked: set[str] = set()
        self._waiting = list(addresses)
        self._probes: dict[str, Probe] = {}

    def take(self) -> list[str]:
        """Addresses to ask that nobody has been sent to yet."""
        found = [address for address in dict.fromkeys(self._waiting) if address not in self._asked]
        self._asked.update(found)
        self._waiting.clear()
        return found

    def add(self, answer: Probe) -> None:
        """Take note of an answer."""
        self._probes[answer.address] = answer
        self._waiting += [member.address for member in answer.members]

    def leader(self) -> str | None:
        """The member that says it leads; of several, the one that most others follow."""
        follows = [each.leader for each in self._probes.values() if each.leader]
        leaders = [each.address for each in self._probes.values() if each.leader == each.address]
        return max(leaders, key=follows.count) if leaders else None

    def health(self, problem: str | None = None) -> Health:
        """Draw the conclusion; `problem`: why the leader did not confirm a read, "" if it did."""
        leader = self.leader()
        members = [self._member(member, leader) for member in sorted(self._members(leader))]
        voters = [member for member in members if member.role == Role.VOTER]
        quorum = len(voters) // 2 + 1
        reachable = sum(member.reachable for member in voters)
        named = {each.leader for each in self._probes.values() if each.leader}
        warnings = _warnings(members, leader, quorum, len(voters), reachable)
        if len(named) > 1:
            warnings.append(f"members disagree about the leader: {', '.join(sorted(named))}")
        if leader is not None and problem:
            warnings.append(
                f"{leader} leads but did not confirm a read ({problem}); if this lasts,"
                " restart the members one by one"
            )
        confirmed = None if problem is None else not problem
        found = tuple(warnings)
        return Health(leader, tuple(members), quorum, len(voters), reachable, found, confirmed)

    def _members(self, leader: str | None) -> Sequence[Member]:
        """The leader's view, else the view that most members share, else the bare addresses."""
        if leader is not None and self._probes[leader].members:
            return self._probes[leader].members
        views = [each.members for each in self._probes.values() if each.members]
        if views:
            return max(views, key=lambda view: (views.count(view), len(view)))
        return [Member(0, address, -1) for address in sorted(self._asked)]

    def _member(self, member: Member, leader: str | None) -> MemberHealth:
        answer = self._probes.get(member.address, Probe(member.address, error="no answer in time"))
        metadata = answer.metadata
        return MemberHealth(
            id=member.id or None,
            address=member.address,
            role=None if member.role < 0 else member.role,
            is_leader=member.address == leader,
            reachable=metadata is not None,
            round_trip=answer.round_trip,
            weight=None if metadata is None else metadata.weight,
            failure_domain=None if metadata is None else metadata.failure_domain,
            error=answer.error,
            follows=answer.leader or None,
            knows_voters=sum(each.role == Role.VOTER for each in answer.members) or None,
        )


def _warnings(
    members: Sequence[MemberHealth], leader: str | None, quorum: int, voters: int, reachable: int
) -> list[str]:
    found = [
        f"{member.address} cannot be reached: {member.error}"
        for member in members
        if not member.reachable
    ]
    if leader is None:
        found.append("no member leads the cluster")
    if reachable < quorum:
        found.append(f"no quorum: {reachable} of {voters} voters answered and {quorum} are needed")
    elif reachable == quorum and voters > _FEW_VOTERS:
        found.append(f"no further voter may fail: {reachable} of {voters} answered")
    if voters <= _FEW_VOTERS and len(members) > 1 and voters:
        found.append(f"{voters} voters survive no failure; use three")
    return found


def changes(before: Health | None, after: Health) -> list[Change]:
    """What is different between two looks; the first look gives one `state`."""
    leader = after.leader or ""
    if before is None:
        return [Change("state", leader, after)]
    found = []
    if before.leader != after.leader:
        found.append(Change("leader_changed", leader, after, before.leader or "", leader))
    old = {member.address: member for member in before.members}
    new = {member.address: member for member in after.members}
    if before.is_known and after.is_known:
        found += [
            Change("member_added", address, after, after=new[address].role_name)
            for address in new
            if address not in old
        ]
        found += [
            Change("member_removed", address, after, before=old[address].role_name)
            for address in old
            if address not in new
        ]
    for address, last in new.items():
        first = old.get(address, last)
        if None not in (first.role, last.role) and first.role != last.role:
            found.append(Change("role_changed", address, after, first.role_name, last.role_name))
        if first.reachable != last.reachable:
            kind = "reachable" if last.reachable else "unreachable"
            found.append(Change(kind, address, after))
    return found
