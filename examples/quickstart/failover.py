"""Kills the leader under load, proves that nothing acknowledged was lost, and brings it back."""

from __future__ import annotations

import time

from sqlalchemy import Engine, select

from dqlite_node import LocalCluster

from .errors import QuickstartError
from .members import is_alive, roles
from .models import Beat
from .writer import Writer

SECONDS_TO_RECOVER = 20.0


def kill_leader(cluster: LocalCluster) -> int:
    """Kill the leader's process with SIGKILL; return which member (0, 1, ...) it was."""
    victim = list(cluster.addresses).index(cluster.wait_leader(SECONDS_TO_RECOVER))
    cluster.kill(victim)
    return victim


def write_through_failover(engine: Engine, cluster: LocalCluster) -> tuple[Writer, int]:
    """Kill the leader while a writer runs; return the writer, stopped, and the dead member.

    Raises QuickstartError when writes do not go on within SECONDS_TO_RECOVER.
    """
    with Writer(engine) as writer:
        _expect_rows(writer, 100)
        victim = kill_leader(cluster)
        _expect_rows(writer, 100)
    return writer, victim


def _expect_rows(writer: Writer, rows: int) -> None:
    if not writer.wait_for_rows(rows, SECONDS_TO_RECOVER):
        raise QuickstartError(f"no {rows} rows were acknowledged in {SECONDS_TO_RECOVER:.0f} s")


def verify_rows(engine: Engine, writer: Writer) -> int:
    """Return how many rows the new leader has; only leaders answer queries.

    Raises QuickstartError when an acknowledged row is missing or any row is there twice.
    """
    with engine.connect() as connection:
        stored = connection.scalars(select(Beat.number)).all()
    missing = writer.acknowledged.keys() - set(stored)
    doubled = len(stored) - len(set(stored))
    if missing or doubled:
        raise QuickstartError(f"{len(missing)} acknowledged rows missing, {doubled} doubled")
    return len(stored)


def bring_back(cluster: LocalCluster, victim: int) -> dict[str, str]:
    """Restart the dead member and wait until it answers as a voter; return every member's role.

    Raises QuickstartError when that takes more than SECONDS_TO_RECOVER.
    """
    cluster.restart(victim)
    address = cluster.addresses[victim]
    deadline = time.monotonic() + SECONDS_TO_RECOVER
    while time.monotonic() < deadline:
        if is_alive(address) and (now := roles(cluster.addresses)).get(address) == "voter":
            return now
        time.sleep(0.1)
    raise QuickstartError(f"member {address} did not come back as a voter")
