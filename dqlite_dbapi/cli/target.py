"""The argument URL, which goes through the driver's own option parser, and members by name."""

from __future__ import annotations

import click

from dqlite_dbapi import Client, Error, NodeInfo, Options, Role, parse_options

ROLES = tuple(role.name.lower() for role in Role)


def read_url(text: str) -> Options:
    """A `dqlite://` URL or addresses; `-` takes them from the environment.

    `BadParameter` with the parser's reason.
    """
    try:
        return parse_options(None if text == "-" else text)
    except Error as error:
        raise click.BadParameter(str(error)) from error


url_argument = click.argument("url", type=read_url, metavar="URL")


def role(name: str) -> Role:
    """The role called `name`; `BadParameter` for another word."""
    if name.lower() not in ROLES:
        raise click.BadParameter(f"{name!r} is no role; roles are {', '.join(ROLES)}")
    return Role[name.upper()]


def find_member(client: Client, text: str) -> NodeInfo:
    """The member with this id or address; `ClickException` that names the members."""
    members = client.cluster()
    for member in members:
        if text in (str(member.id), member.address):
            return member
    known = ", ".join(f"{member.id} ({member.address})" for member in members)
    raise click.ClickException(f"there is no member {text}; the members are {known}")
