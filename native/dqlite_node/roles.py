"""Which member should have which role: a pure function of what the leader sees of its cluster.

The rules are those of go-dqlite's `app` package with four differences: the number of voters stays
odd, two dead voters that nobody can replace lose their votes, the second member of two keeps a
copy of the data as standby, and surplus voters become standbys where those are short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dqlite_dbapi import Role
from dqlite_node.errors import NodeError

MIN_VOTERS = 3


class Assignment(NamedTuple):
    """A role that a member should get."""

    id: int
    role: Role


@dataclass(frozen=True)
class MemberState:
    """One member as the leader sees it.

    `online`: it answers, or did so a short while ago. `eligible`: it may be given more to do.
    `follows`: it has heard the leader since it started.
    """

    id: int
    role: Role
    online: bool = True
    is_leader: bool = False
    failure_domain: int = 0
    weight: int = 0
    eligible: bool = True
    follows: bool = True


@dataclass(frozen=True)
class Targets:
    """Wanted numbers of online voters (odd, at least 3) and standbys; NodeError for others."""

    voters: int = 3
    standbys: int = 3

    def __post_init__(self) -> None:
        if self.voters < MIN_VOTERS or self.voters % 2 == 0:
            raise NodeError(f"voters={self.voters} is not an odd number of at least {MIN_VOTERS}")
        if self.standbys < 0:
            raise NodeError(f"standbys={self.standbys} is negative")

    def voters_of(self, size: int) -> int:
        """Voters that a cluster of `size` members should have: 1 below 3 members, else odd."""
        if size < MIN_VOTERS:
            return 1
        most = min(self.voters, size)
        return most if most % 2 else most - 1


class _View:
    """Members by role and by being online, and what the targets say about them."""

    def __init__(self, members: Sequence[MemberState], targets: Targets) -> None:
        voters = [member for member in members if member.role == Role.VOTER]
        standbys = [member for member in members if member.role == Role.STANDBY]
        self.voters = [member for member in voters if member.online]
        self.dead_voters = [member for member in voters if not member.online]
        self.standbys = [member for member in standbys if member.online]
        self.dead_standbys = [member for member in standbys if not member.online]
        self.spares = [member for member in members if member.role == Role.SPARE and member.online]
        self.want_voters = targets.voters_of(len(members))
        self.want_standbys = targets.standbys

    @property
    def can_decide(self) -> bool:
        """Whether there is one leader, and a quorum that could agree on changes."""
        leaders = sum(member.is_leader for member in self.voters)
        return leaders == 1 and len(self.voters) > len(self.dead_voters)


def _eligible(members: Iterable[MemberState]) -> list[MemberState]:
    return [member for member in members if member.online and member.eligible]


def _ranked(candidates: Iterable[MemberState], holders: Iterable[MemberState]) -> list[MemberState]:
    """Best candidate first: a domain without holder, then with data, then the lower weight."""
    domains = {member.failure_domain for member in holders}
    return sorted(
        _eligible(candidates),
        key=lambda each: (each.failure_domain in domains, each.role, each.weight, each.id),
    )


def _surplus(holders: Sequence[MemberState]) -> MemberState | None:
    """Whom to demote: never the leader; from a crowded domain first, then the higher weight."""
    crowd = Counter(member.failure_domain for member in holders)
    return max(
        (member for member in holders if not member.is_leader),
        key=lambda each: (crowd[each.failure_domain], each.weight, each.id),
        default=None,
    )


def _promote_voter(view: _View) -> Assignment | None:
    """Fill up to the wanted number, but do not stop at an even one: that survives no more."""
    found = _ranked([*view.standbys, *view.spares], view.voters)
    reach = min(view.want_voters, len(view.voters) + len(found))
    if reach % 2 == 0 and not view.dead_voters:
        reach -= 1
    return Assignment(found[0].id, Role.VOTER) if len(view.voters) < reach else None


def _demote_dead_voter(view: _View) -> Assignment | None:
    """Dead voters that are replaced go; others only where a smaller quorum comes of it."""
    dead, voters = len(view.dead_voters), len(view.dead_voters) + len(view.voters)
    if not dead:
        return None
    is_replaced = len(view.voters) >= view.want_voters
    shrinks_quorum = voters % 2 == 0 or (dead > 1 and voters > MIN_VOTERS)
    if not is_replaced and not shrinks_quorum:
        return None
    return Assignment(max(view.dead_voters, key=lambda each: each.id).id, Role.SPARE)


def _demote_voter(view: _View) -> Assignment | None:
    if len(view.voters) <= view.want_voters:
        return None
    member = _surplus(view.voters)
    short = len(view.standbys) < view.want_standbys
    role = Role.STANDBY if short else Role.SPARE
    return None if member is None else Assignment(member.id, role)


def _spread_voters(view: _View) -> Assignment | None:
    """Give a vote to a domain that has none where another has two; one too many goes next."""
    domains = Counter(member.failure_domain for member in view.voters)
    if len(view.voters) != view.want_voters or len(domains) == len(view.voters):
        return None
    outside = [
        member
        for member in _ranked([*view.standbys, *view.spares], view.voters)
        if member.failure_domain not in domains
    ]
    return Assignment(outside[0].id, Role.VOTER) if outside else None


def _promote_standby(view: _View) -> Assignment | None:
    if len(view.standbys) >= view.want_standbys:
        return None
    found = _ranked(view.spares, view.standbys)
    return Assignment(found[0].id, Role.STANDBY) if found else None


def _demote_dead_standby(view: _View) -> Assignment | None:
    if not view.dead_standbys or len(view.standbys) < view.want_standbys:
        return None
    return Assignment(max(view.dead_standbys, key=lambda each: each.id).id, Role.SPARE)


def _demote_standby(view: _View) -> Assignment | None:
    if len(view.standbys) <= view.want_standbys:
        return None
    member = _surplus(view.standbys)
    return None if member is None else Assignment(member.id, Role.SPARE)


#: The first rule that asks for a change decides what comes next. Votes are given before they are
#: taken, and taken from the dead before the living, so that no step costs the quorum.
_RULES: tuple[Callable[[_View], Assignment | None], ...] = (
    _promote_voter,
    _demote_dead_voter,
    _demote_voter,
    _spread_voters,
    _promote_standby,
    _demote_dead_standby,
    _demote_standby,
)


def apply(members: Sequence[MemberState], change: Assignment) -> list[MemberState]:
    """The cluster after a change."""
    return [
        replace(member, role=change.role) if member.id == change.id else member
        for member in members
    ]


def next_change(members: Sequence[MemberState], targets: Targets) -> Assignment | None:
    """The one change to make now; None when all is as wanted, or nothing can be done."""
    view = _View(members, targets)
    if not view.can_decide:
        return None
    return next(filter(None, (rule(view) for rule in _RULES)), None)


def changes(members: Sequence[MemberState], targets: Targets) -> list[Assignment]:
    """All changes up to the wanted state, in order, if nothing else happens meanwhile."""
    found: list[Assignment] = []
    change = next_change(members, targets)
    while change is not None:
        found.append(change)
        members = apply(members, change)
        change = next_change(members, targets)
    return found


def successors(members: Sequence[MemberState], member_id: int) -> list[Assignment]:
    """Who could take over the role of a member that leaves, best first; empty if it has none."""
    leaving = next((member for member in members if member.id == member_id), None)
    if leaving is None or leaving.role == Role.SPARE:
        return []
    others = [member for member in members if member.id != member_id]
    peers = [member for member in others if member.role == leaving.role and member.online]
    lower = [member for member in others if member.role > leaving.role]
    return [Assignment(member.id, leaving.role) for member in _ranked(lower, peers)]


def heirs(members: Sequence[MemberState], member_id: int) -> list[int]:
    """Ids of the voters that could lead instead of a member, the lowest weight first.

    Only those to whom the leader has a connection: see `upkeep.hand_over`.
    """
    others = [
        member
        for member in _eligible(members)
        if member.id != member_id and member.role == Role.VOTER and member.follows
    ]
    return [member.id for member in sorted(others, key=lambda each: (each.weight, each.id))]
