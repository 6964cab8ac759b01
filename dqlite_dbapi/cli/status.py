"""`dqlite-py cluster status`: the state of a cluster for people, scripts and monitoring."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dqlite_dbapi import Change, Client, Health, MemberHealth, Options
from dqlite_dbapi.cli.output import console
from dqlite_dbapi.cli.target import url_argument
from dqlite_dbapi.protocol.health import changes

HEALTHY, DEGRADED, DOWN = 0, 1, 2
STATES = ("healthy", "degraded", "down")
_STYLES = ("green", "yellow", "red")
_COLUMNS = ("id", "address", "role", "leader", "reachable", "round trip", "weight", "domain")
_EVENTS = 8


def state_of(health: Health) -> int:
    """0 healthy, 1 degraded but serving, 2 without a leader that serves or without a quorum."""
    if health.is_healthy:
        return HEALTHY
    serves = health.leader is not None and health.confirmed is not False and health.has_quorum
    return DEGRADED if serves else DOWN


def as_json(health: Health) -> dict[str, Any]:
    """What `--json` prints; times in ms, None for what is not known."""
    return {
        "state": STATES[state_of(health)],
        "leader": health.leader,
        "voters": health.voters,
        "quorum": health.quorum,
        "voters_reachable": health.voters_reachable,
        "warnings": list(health.warnings),
        "members": [
            {
                "id": member.id,
                "address": member.address,
                "role": member.role_name,
                "leader": member.is_leader,
                "reachable": member.reachable,
                "round_trip_ms": member.round_trip,
                "weight": member.weight,
                "failure_domain": member.failure_domain,
                "error": member.error,
            }
            for member in health.members
        ],
    }


def _cells(member: MemberHealth) -> list[str]:
    known = (member.weight, member.failure_domain)
    return [
        "?" if member.id is None else str(member.id),
        member.address,
        member.role_name,
        "leader" if member.is_leader else "",
        "yes" if member.reachable else "no",
        "" if member.round_trip is None else f"{member.round_trip:.1f} ms",
        *("" if value is None else str(value) for value in known),
    ]


def draw(health: Health) -> RenderableType:
    """A table of the members, the verdict and the warnings."""
    table = Table(*_COLUMNS)
    for member in health.members:
        style = "bold" if member.is_leader else "" if member.reachable else "red"
        table.add_row(*(Text(value) for value in _cells(member)), style=style)
    state = state_of(health)
    reached = f"{health.voters_reachable} of {health.voters} voters, {health.quorum} needed"
    verdict = Text(f"{STATES[state]}: {reached}", style=_STYLES[state])
    return Group(table, verdict, *(Text(f"- {warning}") for warning in health.warnings))


def told(change: Change) -> str:
    """What has changed, in a few words."""
    moved = f"{change.before or 'none'} -> {change.after or 'none'}"
    if change.kind == "leader_changed":
        return f"leader {moved}"
    return f"{change.kind} {change.address}" + (
        f" {moved}" if change.kind == "role_changed" else ""
    )


class Screen:
    """Shows one look after the other: in place on a terminal, else below each other."""

    def __init__(self, *, as_lines: bool) -> None:
        """`as_lines`: a line of JSON for each look."""
        self._console = console()
        self._as_lines = as_lines
        self._live = Live(console=self._console, auto_refresh=False)
        self._events: deque[Text] = deque(maxlen=_EVENTS)
        self._before: Health | None = None

    def show(self, health: Health) -> None:
        """Show the state, and what has changed since the last time."""
        if self._before is not None:
            now = time.strftime("%H:%M:%S")
            found = changes(self._before, health)
            self._events += [Text(f"{now} {told(change)}", style="dim") for change in found]
        self._before = health
        if self._as_lines:
            click.echo(json.dumps(as_json(health)))
        elif self._live.is_started:
            self._live.update(Group(draw(health), *self._events), refresh=True)
        else:
            self._console.print(Group(draw(health), *self._events))

    def __enter__(self) -> Screen:
        if self._console.is_terminal and not self._as_lines:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()


def _looks(client: Client, timeout: float, database: str | None) -> Iterator[Health]:
    while True:
        yield client.health(timeout, database=database)


@click.command()
@url_argument
@click.option("--watch", is_flag=True, help="Look again and again until Ctrl-C.")
@click.option("--interval", default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--count", type=click.IntRange(1), help="End --watch after this many looks.")
@click.option("--json", "as_lines", is_flag=True, help="One line of JSON for each look.")
@click.option("--timeout", default=1.0, show_default=True, help="Seconds that a look may take.")
@click.option("--read", is_flag=True, help="Have the leader also answer a read in URL's database.")
def status(
    url: Options,
    watch: bool,
    interval: float,
    count: int | None,
    as_lines: bool,
    timeout: float,
    read: bool,
) -> int:
    """Show every member: role, leader, reachable, round trip, weight, failure domain.

    Exit status, also that of the last look of --watch: 0 healthy, 1 degraded but serving, 2 no
    quorum or no leader.
    """
    state = DOWN
    with Client(url) as client, Screen(as_lines=as_lines) as screen:
        looks = _looks(client, timeout, url.database if read else None)
        try:
            for number, health in enumerate(itertools.islice(looks, count if watch else 1)):
                screen.show(health)
                state = state_of(health)
                if watch and number + 1 != count:
                    time.sleep(interval)
        except KeyboardInterrupt:
            return state
    return state
