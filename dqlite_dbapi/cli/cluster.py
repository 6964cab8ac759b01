"""`dqlite-py cluster`: show and change the membership of a cluster."""

from __future__ import annotations

import click

from dqlite_dbapi import Client, Options
from dqlite_dbapi.cli import membership
from dqlite_dbapi.cli.membership import ROLES
from dqlite_dbapi.cli.outcome import Commands
from dqlite_dbapi.cli.status import status
from dqlite_dbapi.cli.target import url_argument


@click.group(cls=Commands, no_args_is_help=False)
def cluster() -> None:
    """Show and change the members. MEMBER is an id or an address."""


cluster.add_command(status)


@cluster.command()
@url_argument
@click.argument("member_id", type=click.IntRange(1), metavar="ID")
@click.argument("address")
@click.option("--role", type=click.Choice(ROLES), default="voter", show_default=True)
def add(url: Options, member_id: int, address: str, role: str) -> None:
    """Take in the running member ID at ADDRESS; nothing to do when it is in."""
    with Client(url) as client:
        client.add(member_id, address, membership.role(role))
    click.echo(f"member {member_id} at {address} is a {role}")


@cluster.command()
@url_argument
@click.argument("member")
@click.argument("role", type=click.Choice(ROLES))
def assign(url: Options, member: str, role: str) -> None:
    """Make MEMBER a voter, standby or spare; a leader hands over first."""
    found = membership.assign(url, member, role)
    click.echo(f"member {found.id} at {found.address} is a {role}")


@cluster.command()
@url_argument
@click.argument("member")
def remove(url: Options, member: str) -> None:
    """Take MEMBER out; a leader hands over first. It stays gone until it is added again."""
    found = membership.remove(url, member)
    click.echo(f"member {found.id} at {found.address} is out")


@cluster.command()
@url_argument
@click.argument("member", required=False)
def transfer(url: Options, member: str | None) -> None:
    """Hand leadership to MEMBER, or to any other voter."""
    click.echo(f"{membership.transfer(url, member)} leads")


@cluster.command()
@url_argument
@click.argument("member")
@click.argument("value", type=click.IntRange(0), metavar="WEIGHT")
def weight(url: Options, member: str, value: int) -> None:
    """Set the weight of MEMBER, until that restarts; light members become voters first."""
    found = membership.weigh(url, member, value)
    click.echo(f"member {found.id} at {found.address} has weight {value}")
