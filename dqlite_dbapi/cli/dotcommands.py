"""The shell's commands for clusters: `.cluster`, `.leader` and so on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from litecli.packages.special.main import PARSED_QUERY, register_special_command

from dqlite_dbapi import snapshot
from dqlite_dbapi.cli import membership
from dqlite_dbapi.cli.status import STATES, state_of

if TYPE_CHECKING:
    from dqlite_dbapi.cli.shell import Executor

#: Title, rows, column names and status, as litecli shows them.
Result = tuple[None, list[tuple[Any, ...]] | None, list[str] | None, str]


def _words(arg: str, usage: str, *counts: int) -> list[str]:
    words = arg.split()
    if len(words) not in counts:
        raise click.ClickException(f"usage: {usage}")
    return words


def _said(text: str) -> list[Result]:
    return [(None, None, None, text)]


def cluster(executor: Executor, _arg: str) -> list[Result]:
    """List the members."""
    with executor.client() as client:
        rows = [
            (member.id, member.address, member.role_name, "leader" if member.is_leader else "")
            for member in client.cluster()
        ]
    return [(None, rows, ["id", "address", "role", "leader"], "")]


def leader(executor: Executor, _arg: str) -> list[Result]:
    """Say who leads."""
    with executor.client() as client:
        return _said(client.leader())


def health(executor: Executor, _arg: str) -> list[Result]:
    """Ask every member how it is."""
    with executor.client() as client:
        found = client.health()
    rows = [
        (
            member.id,
            member.address,
            member.role_name,
            "leader" if member.is_leader else "",
            "yes" if member.reachable else "no",
            None if member.round_trip is None else f"{member.round_trip:.1f}",
            member.weight,
            member.failure_domain,
        )
        for member in found.members
    ]
    names = ["id", "address", "role", "leader", "reachable", "ms", "weight", "domain"]
    return [(None, rows, names, "\n".join((STATES[state_of(found)], *found.warnings)))]


def describe(executor: Executor, arg: str) -> list[Result]:
    """Show weight and failure domain of a member."""
    (member,) = _words(arg, ".describe MEMBER", 1)
    with executor.client() as client:
        address = membership.find_member(client, member).address
        found = client.describe(address)
    rows = [(address, found.weight, found.failure_domain)]
    return [(None, rows, ["address", "weight", "domain"], "")]


def weight(executor: Executor, arg: str) -> list[Result]:
    """Set the weight of a member."""
    member, value = _words(arg, ".weight MEMBER WEIGHT", 2)
    if not value.isdecimal():
        raise click.ClickException(f"a weight is a whole number, not {value}")
    found = membership.weigh(executor.options, member, int(value))
    return _said(f"{found.address} has weight {value}")


def assign(executor: Executor, arg: str) -> list[Result]:
    """Make a member a voter, standby or spare."""
    member, role = _words(arg, ".assign MEMBER ROLE", 2)
    return _said(f"{membership.assign(executor.options, member, role).address} is a {role}")


def remove(executor: Executor, arg: str) -> list[Result]:
    """Take a member out of the cluster."""
    (member,) = _words(arg, ".remove MEMBER", 1)
    return _said(f"{membership.remove(executor.options, member).address} is out")


def transfer(executor: Executor, arg: str) -> list[Result]:
    """Hand leadership to a voter, or to any other one."""
    words = _words(arg, ".transfer [MEMBER]", 0, 1)
    return _said(f"{membership.transfer(executor.options, words[0] if words else None)} leads")


def dump(executor: Executor, arg: str) -> list[Result]:
    """Copy the database into a SQLite file."""
    (path,) = _words(arg, ".dump FILE", 1)
    copied = snapshot.dump(executor.options, path)
    return _said(f"{path}: {copied.size} bytes from {copied.address}")


_COMMANDS: dict[str, tuple[Callable[[Executor, str], list[Result]], str]] = {
    ".cluster": (cluster, ".cluster"),
    ".leader": (leader, ".leader"),
    ".health": (health, ".health"),
    ".describe": (describe, ".describe member"),
    ".weight": (weight, ".weight member weight"),
    ".assign": (assign, ".assign member role"),
    ".remove": (remove, ".remove member"),
    ".transfer": (transfer, ".transfer [member]"),
    ".dump": (dump, ".dump file"),
}


def register(executor: Executor) -> None:
    """Make the commands known to litecli, which keeps one list for the process."""
    for name, (function, usage) in _COMMANDS.items():
        register_special_command(
            _handler(function, executor), name, usage, _summary(function), arg_type=PARSED_QUERY
        )


def _summary(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def _handler(
    function: Callable[[Executor, str], list[Result]], executor: Executor
) -> Callable[..., list[Result]]:
    return lambda arg="", **_: function(executor, arg or "")
