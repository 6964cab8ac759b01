"""How a member gets into a cluster and out of the lead: through the cluster client."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dqlite_dbapi import Client, Health, MemberHealth, NodeInfo, NoLeader, Role
from dqlite_dbapi.errors import Error
from dqlite_node.dial import is_served
from dqlite_node.errors import ClusterJoinError
from dqlite_node.settings import Settings

SEARCH = 5.0  #: seconds to find the leader in one attempt
LOOK = 0.5  #: seconds that other members have to say how they are
SETTLE = 1.0  #: seconds to see a new leader
HEIRS = (Role.STANDBY, Role.SPARE)

_log = logging.getLogger("dqlite_node")


def join(settings: Settings, node_id: int, run: Callable[[], None], *, is_blank: bool) -> None:
    """Get the member into the cluster; `run` starts its engine once that is safe.

    `is_blank`: its log is empty. What the cluster lists at its address is then left from an earlier
    life whose directory was lost. It is removed before the engine runs: as that voter, with an
    empty log, the member could vote acknowledged rows away.

    Raises NoLeader, other errors of the client, ClusterJoinError if id or address are taken.
    """
    with Client(settings.others, timeout=SEARCH, **settings.client_options) as client:
        members = client.cluster()
        _check_id(settings, node_id, members)
        for member in members:
            if member.address == settings.address and (is_blank or member.id != node_id):
                _remove_earlier(client, settings, member)
        run()
        client.add(node_id, settings.address, settings.join_role)


def _check_id(settings: Settings, node_id: int, members: list[NodeInfo]) -> None:
    for member in members:
        if member.id == node_id and member.address != settings.address:
            raise ClusterJoinError(
                f"the id {node_id} of {settings.address} belongs to {member.address}",
                address=settings.address,
                hint="leave node_id out",
            )


def _remove_earlier(client: Client, settings: Settings, member: NodeInfo) -> None:
    if is_served(settings.address, settings.connect_timeout):
        raise ClusterJoinError(
            f"another process serves {settings.address} as member {member.id}",
            address=settings.address,
            hint="give each member an address of its own",
        )
    _log.warning(
        "member %d at %s has lost its directory: it is removed and joins anew", *member[:2]
    )
    client.remove(member.id)


def hand_over(settings: Settings, *, with_role: bool) -> None:
    """Give away leadership, and `with_role` the voter's part too, if others can take them.

    Nothing happens for what nobody can take. Raises errors of the client.
    """
    address = settings.address
    with Client(address, **settings.client_options) as client:
        health = client.health(LOOK)
        me = next((member for member in health.members if member.address == address), None)
        if me is None or me.id is None or health.leader is None:
            return
        if me.is_leader:
            _transfer(client, health, me, settings)
        heir = _heir(health, me) if with_role and me.role == Role.VOTER else None
        if heir is not None:
            _bequeath(client, me.id, heir)


def _bequeath(client: Client, member_id: int, heir: MemberHealth) -> None:
    """Make the heir a voter and the member a spare, once the heir is seen as one.

    Leadership was passed on before, since 1.11.1 can forget a change of roles that it has answered
    when its leader goes.
    """
    client.assign(heir.id or 0, Role.VOTER)
    if any(each.id == heir.id and each.role == Role.VOTER for each in client.cluster()):
        client.assign(member_id, Role.SPARE)


def _heir(health: Health, me: MemberHealth) -> MemberHealth | None:
    """The member that should vote instead: a standby before a spare, then the lightest."""
    able = [
        member
        for member in health.members
        if member.reachable and member.address != me.address and member.role in HEIRS
    ]
    return min(able, key=lambda member: (member.role or 0, member.weight or 0), default=None)


def _transfer(client: Client, health: Health, me: MemberHealth, settings: Settings) -> None:
    """Offer leadership once, to the lightest voter that follows us, and see one of them lead.

    A voter that has just restarted takes the offer late. A second offer to another one would bring
    up two candidates in one term, which has crashed members.
    """
    voters = [
        member
        for member in health.members
        if member.reachable
        and member.address != me.address
        and member.role == Role.VOTER
        and member.follows == health.leader
    ]
    if not voters:
        return
    voter = min(voters, key=lambda member: member.weight or 0)
    try:
        client.transfer(voter.id or 0)
    except NoLeader:
        return
    except Error as error:
        _log.info("leadership did not pass to %s: %s", voter.address, error)
    else:
        _await_other(voter, settings)


def _await_other(voter: MemberHealth, settings: Settings) -> None:
    with Client(voter.address, timeout=SETTLE, **settings.client_options) as client:
        leader = client.leader()
    _log.info("leadership passed from %s to %s", settings.address, leader)
