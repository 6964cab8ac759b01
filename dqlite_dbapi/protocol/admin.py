"""Cluster requests as flows: who leads, who is a member, and changes of membership.

Changes go to the leader; one at a time per cluster (wire-protocol 9.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dqlite_dbapi.errors import (
    Busy,
    NotLeader,
    NotSupportedError,
    OperationalError,
    from_failure,
)
from dqlite_dbapi.protocol.effects import Flow, Sleep
from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.constants import Request, Response, Role
from dqlite_dbapi.wire.requests import encode
from dqlite_dbapi.wire.responses import (
    Files,
    Member,
    Metadata,
    Server,
    Servers,
    decode,
    decode_failure,
)

#: FAILURE code of a DUMP of an unknown database (wire-protocol 8.1); some engines send no files.
NOT_FOUND = 1002
_EMPTY = int(Response.EMPTY)
_PAUSE = 0.1


def ask(session: Session, kind: Request, *values: Any) -> Flow[Any]:
    """Send one request and decode its answer; FAILURE is raised as its exception."""
    return decode((yield from session.call(encode(kind, *values), _ANSWERS[kind])))


_ANSWERS = {
    **dict.fromkeys(Request, Response.EMPTY),
    Request.LEADER: Response.SERVER,
    Request.CLUSTER: Response.SERVERS,
    Request.DUMP: Response.FILES,
    Request.DESCRIBE: Response.METADATA,
}


def leader(session: Session) -> Flow[Server]:
    """The leader that the member knows: `(0, "")` when it knows none."""
    return ask(session, Request.LEADER, 0)


def cluster(session: Session) -> Flow[Sequence[Member]]:
    """Members as the asked one sees them; a fresh or spare member sees none."""
    servers: Servers = yield from ask(session, Request.CLUSTER, 1)
    return servers.members


def describe(session: Session) -> Flow[Metadata]:
    """Failure domain and weight of the asked member (always format 0: hazard H31)."""
    return ask(session, Request.DESCRIBE, 0)


def weight(session: Session, value: int) -> Flow[None]:
    """Set the weight of the asked member until it restarts."""
    yield from ask(session, Request.WEIGHT, value)


def dump(session: Session, database: str) -> Flow[Files]:
    """The database file and its write-ahead log, as the asked member has them.

    `OperationalError` with code 1002 when it knows no such database, or only an empty one.
    """
    try:
        files: Files = yield from ask(session, Request.DUMP, database)
    except OperationalError as error:
        raise (unknown(session, database) if error.code == NOT_FOUND else error) from None
    if not any(content for _, content in files.files):
        raise unknown(session, database)
    return files


def unknown(session: Session, database: str) -> OperationalError:
    """The error for a database that a member does not have."""
    return OperationalError(
        f"there is no database {database!r} here, or nothing was ever written to it",
        code=NOT_FOUND,
        address=session.address,
    )


def add(session: Session, member_id: int, address: str, role: Role = Role.VOTER) -> Flow[None]:
    """Make `address` a member of that role under `member_id`.

    Nothing to do when it is one; `OperationalError` when id or address belong to another member.
    """
    for member in (yield from cluster(session)):
        if member.id == member_id and member.address == address:
            if member.role != role:
                yield from assign(session, member_id, role)
            return
        if member.id == member_id or member.address == address:
            raise OperationalError(
                f"member {member.id} at {member.address} is in the cluster already, so"
                f" {member_id} at {address} cannot be added",
                address=session.address,
            )
    yield from _change(session, Request.ADD, member_id, address)
    yield from assign(session, member_id, role)


def assign(session: Session, member_id: int, role: Role) -> Flow[None]:
    """Give a member a role; nothing to do when it has it. The last voter stays one."""
    members = yield from cluster(session)
    member = _named(member_id, members)
    if member.role != role:
        _keep_a_voter(member, members)
        yield from _change(session, Request.ASSIGN, member_id, int(role))


def remove(session: Session, member_id: int) -> Flow[None]:
    """Take a member that does not lead out of the cluster; nothing to do when it is out.

    The last voter stays (hazard H40).
    """
    members = yield from cluster(session)
    for member in members:
        if member.id == member_id:
            _keep_a_voter(member, members)
            yield from _change(session, Request.REMOVE, member_id)


def transfer(session: Session, member_id: int) -> Flow[None]:
    """Hand leadership to a voter, 0 for any other one; nothing to do when it leads.

    A voter that is named is asked twice, in one flight. A follower of 1.18 misses the call of a
    leader of 1.11 that comes while it writes an entry, half of the time under load; no write can
    begin between the leader's noticing that and the second call. A leader that has handed over
    refuses the second one.
    """
    if not member_id:
        yield from _change(session, Request.TRANSFER, 0)
    elif _named(member_id, (yield from cluster(session))).address != session.address:
        yield from _change(session, Request.TRANSFER, member_id, calls=2)


def _named(member_id: int, members: Sequence[Member]) -> Member:
    for member in members:
        if member.id == member_id:
            return member
    known = ", ".join(str(member.id) for member in members)
    raise OperationalError(f"there is no member {member_id}; the members are {known}")


def _keep_a_voter(member: Member, members: Sequence[Member]) -> None:
    if [other for other in members if other.role == Role.VOTER] == [member]:
        raise NotSupportedError(
            f"member {member.id} at {member.address} is the last voter and must stay one"
        )


def _change(session: Session, kind: Request, *values: Any, calls: int = 1) -> Flow[None]:
    """Request a membership change `calls` times in one flight, until one of them is accepted.

    Waits while another change is in progress; else the last refusal is raised.
    """
    flight = encode(kind, *values) * calls
    pauses = int(session.patience / _PAUSE)
    while True:
        answers = yield from session.burst(flight, calls, _EMPTY)
        if any(answer.kind == _EMPTY for answer in answers):
            return
        refusal = from_failure(*decode_failure(answers[-1].body), session.address)
        if not isinstance(refusal, Busy) or not pauses:
            raise refusal
        pauses -= 1
        yield Sleep(_PAUSE)


def greet(session: Session) -> Flow[None]:
    """Open a session without a database, if the member itself leads; else `NotLeader`."""
    yield from session.open(None)
    if session.leader != session.address:
        known = f"it names {session.leader}" if session.leader else "it knows no leader"
        raise NotLeader(known, address=session.address)
