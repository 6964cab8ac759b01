"""What a member does beside serving: remembers the members and, while it leads, keeps the roles."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from dqlite_dbapi import Client, Error, Health, MemberHealth, NodeInfo, Role
from dqlite_node import roles
from dqlite_node.roles import Assignment, MemberState, Targets
from dqlite_node.store import Store

LOOK_TIMEOUT = 2.0  #: seconds in which a member must answer
PATIENCE = 3.0  #: seconds until a new member takes a role itself that no leader gives it
TICK = 0.05

_log = logging.getLogger("dqlite_node")


class Watchman:
    """Tells members that went down from those that only restart."""

    def __init__(self, grace: float) -> None:
        """A member counts as online until it has not answered for `grace` seconds."""
        self._grace = grace
        self._seen: dict[str, float] = {}

    def states(self, health: Health, refused: Sequence[int] = ()) -> list[MemberState]:
        """Input for `roles`; members whose ids are in `refused` are not eligible."""
        now = time.monotonic()
        members = [member for member in health.members if member.id]
        self._seen = {
            member.address: now if member.reachable else self._seen.get(member.address, now)
            for member in members
        }
        return [
            replace(self._state(member, now, refused), follows=member.follows == health.leader)
            for member in members
        ]

    def _state(self, member: MemberHealth, now: float, refused: Sequence[int]) -> MemberState:
        assert member.id is not None  # noqa: S101 - filtered above
        silent = now - self._seen[member.address]
        return MemberState(
            member.id,
            Role.SPARE if member.role is None else Role(member.role),
            online=member.reachable or silent < self._grace,
            is_leader=member.is_leader,
            failure_domain=member.failure_domain or 0,
            weight=member.weight or 0,
            eligible=member.reachable and member.id not in refused,
        )


class Upkeep:
    """One member's view of its cluster, renewed by `tick`."""

    def __init__(
        self, store: Store, member_id: int, address: str, targets: Targets, interval: float
    ) -> None:
        """`interval`: seconds between looks at all members, and of grace for one that is down."""
        self.members: list[NodeInfo] = []
        self.is_settled = False
        self.has_admitted = False  #: others were seen in the cluster while this member led it
        self._store = store
        self._id = member_id
        self._address = address
        self._targets = targets
        self._interval = interval
        self._watchman = Watchman(interval)
        self._since = time.monotonic()
        self._due = 0.0
        self._is_listed = True

    @property
    def leads(self) -> bool:
        """Whether this member led at the last tick."""
        return any(member.is_leader and member.id == self._id for member in self.members)

    def tick(self, client: Client) -> None:
        """Ask the leader for the members; remember them; see to the roles if that is due."""
        members = client.cluster()
        has_changed = members != self.members
        self._note(members)
        me = next((member for member in members if member.id == self._id), None)
        if me is None:
            self._is_settled_outside()
        elif me.is_leader:
            self.is_settled = True
            self.has_admitted = self.has_admitted or len(members) > 1
            if has_changed or time.monotonic() >= self._due:
                self._due = time.monotonic() + self._interval
                self.adjust(client)
                self._note(client.cluster())
        elif not self.is_settled:
            self._settle(client)
            self._note(client.cluster())  # what was given meanwhile, before it counts as settled

    def _note(self, members: list[NodeInfo]) -> None:
        if members == self.members:
            return
        self._store.write_members(members)
        self.members = members
        for member in members:
            if member.id == self._id:
                self._is_listed = True
                self._store.note_role(member.role)

    def _is_settled_outside(self) -> None:
        if self._is_listed:
            _log.warning("member %s was removed from the cluster", self._address)
        self._is_listed = False
        self.is_settled = True

    def strangers(self, seen: Health | None, own: Sequence[NodeInfo]) -> list[str]:
        """Members of another cluster, right after this member founded one; empty if all is well.

        `seen`: what listed peers said; `own`: the present members, asked for later. To be asked
        until `has_admitted`: others enter by the founder, who leads then, so a cluster that is led
        by another before has taken the founder in.
        """
        ids = {member.id for member in own}
        told = seen.members if seen else ()
        found = [member.address for member in told if member.id and member.id not in ids]
        found += [each.address for each in own if each.is_leader and each.id != self._id]
        return list(dict.fromkeys(found))

    def _settle(self, client: Client) -> None:
        """Wait for the leader to give this new member its role; take it where that does not."""
        states = self._watchman.states(client.health(LOOK_TIMEOUT))
        steps = roles.changes(states, self._targets)
        if not any(step.id == self._id for step in steps):
            self.is_settled = any(state.is_leader for state in states)
        elif time.monotonic() - self._since > PATIENCE:
            self._apply(client, steps[0])

    def adjust(self, client: Client) -> None:
        """Make the changes that `roles` asks for, one by one, looking anew before each."""
        refused: list[int] = []
        while len(refused) < len(self.members):
            health = client.health(LOOK_TIMEOUT)
            if health.leader != self._address:
                return
            step = roles.next_change(self._watchman.states(health, refused), self._targets)
            if step is None:
                return
            if not self._apply(client, step):
                refused.append(step.id)

    def _apply(self, client: Client, step: Assignment) -> bool:
        try:
            client.assign(step.id, step.role)
        except Error as error:
            if client.closed:
                raise
            _log.warning("member %d cannot become %s: %s", step.id, step.role.name.lower(), error)
            return False
        _log.info("member %d becomes %s", step.id, step.role.name.lower())
        return True


def hand_over(client: Client, member_id: int) -> bool:
    """Give leadership and role of a member to others, as far as they can take them.

    True when the member leads no longer. Raises the cluster client's errors.

    Leadership is offered once, to a voter that has heard of the present leader. An offer to one
    that has just restarted is answered too late: it stays in a queue, and with a second one two
    candidates come up in one term. Measured: 1.18.7 elected both of them, and 1.11.1 crashed when
    it stopped. Roles change after leadership, since 1.11.1 can forget a change that it has answered
    when its leader goes, except where nobody else could lead.
    """
    states = Watchman(0).states(client.health(LOOK_TIMEOUT))
    leads = any(state.is_leader and state.id == member_id for state in states)
    steps = roles.successors(states, member_id)
    has_successor = False
    if leads and not any(_is_other_voter(state, member_id) for state in states):
        has_successor = any(_try_assign(client, step) for step in steps)
    if leads:
        heir = _find_heir(client, member_id)
        leads = heir is None or not _try_transfer(client, heir)
    if not leads and (has_successor or any(_try_assign(client, step) for step in steps)):
        client.assign(member_id, Role.SPARE)
    return not leads


def _is_other_voter(state: MemberState, member_id: int) -> bool:
    return state.id != member_id and state.role == Role.VOTER and state.online


def _find_heir(client: Client, member_id: int) -> int | None:
    """A voter that can lead, waiting a little for one that has just been started."""
    deadline = time.monotonic() + PATIENCE
    while True:
        states = Watchman(0).states(client.health(LOOK_TIMEOUT))
        voters = sum(state.role == Role.VOTER and state.online for state in states)
        found = roles.heirs(states, member_id)
        if found or voters == 1 or time.monotonic() > deadline:
            return found[0] if found else None
        time.sleep(TICK)


def _try_assign(client: Client, step: Assignment) -> bool:
    try:
        client.assign(step.id, step.role)
    except Error as error:
        _log.info("member %d does not take over: %s", step.id, error)
        return False
    return True


def _try_transfer(client: Client, member_id: int) -> bool:
    try:
        client.transfer(member_id)
    except Error as error:
        _log.warning("member %d does not take over the lead: %s", member_id, error)
        return False
    return True
