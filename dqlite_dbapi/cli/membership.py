"""Members by id or address, and what the commands and the shell do to them."""

from __future__ import annotations

import click

from dqlite_dbapi import Client, NodeInfo, Options, Role

ROLES = tuple(role.name.lower() for role in Role)


def role(name: str) -> Role:
    """The role called `name`; `BadParameter` for another word."""
    if name.lower() not in ROLES:
        raise click.BadParameter(f"{name!r} is no role; roles are {', '.join(ROLES)}")
    return Role[name.upper()]


def assign(url: Options, member: str, wanted: str) -> NodeInfo:
    """Give `member`, an id or an address, the role called `wanted`; what it was."""
    with Client(url) as client:
        found = find_member(client, member)
        client.assign(found.id, role(wanted))
    return found


def remove(url: Options, member: str) -> NodeInfo:
    """Take `member` out; what it was."""
    with Client(url) as client:
        found = find_member(client, member)
        client.remove(found.id)
    return found


def transfer(url: Options, member: str | None) -> str:
    """Hand leadership to `member`, None for any other voter; who leads then."""
    with Client(url) as client:
        client.transfer(find_member(client, member).id if member else 0)
        return client.leader()


def weigh(url: Options, member: str, value: int) -> NodeInfo:
    """Set the weight of `member`; what it was."""
    with Client(url) as client:
        found = find_member(client, member)
        client.weight(found.address, value)
    return found


def find_member(client: Client, text: str) -> NodeInfo:
    """The member with this id or address; `ClickException` that names the members."""
    members = client.cluster()
    for member in members:
        if text in (str(member.id), member.address):
            return member
    known = ", ".join(f"{member.id} ({member.address})" for member in members)
    raise click.ClickException(f"there is no member {text}; the members are {known}")
