"""A member is frozen, the leader and a follower in turn: how soon can a client connect?"""

from __future__ import annotations

import random
import time

import pytest

import dqlite_dbapi
from dqlite_node import LocalCluster
from tests.faults.ledger import figures
from tests.faults.watch import LeaderWatch

TRIALS = 100


@pytest.mark.timeout(1800)
def test_a_frozen_member_costs_less_than_a_second(engine, database, tmp_path, capsys):
    delays: dict[str, list[float]] = {"leader": [], "follower": []}
    with LocalCluster(3, launcher=engine.launcher) as cluster:
        for trial in range(TRIALS):
            role = "follower" if trial % 2 else "leader"
            leader = cluster.leader_index()
            victim = leader if role == "leader" else (leader + 1) % 3
            cluster.pause(victim)
            try:
                delays[role].append(delay(cluster, victim, database, tmp_path / f"{trial}.yaml"))
            finally:
                cluster.resume(victim)
            time.sleep(0.3)
    with capsys.disabled():
        for role, seconds in delays.items():
            print(
                f"\n{engine.name}, {role} frozen: connected after a leader was there:"
                f" {figures(seconds)}",
                end="",
            )
        print()
    assert max(delays["leader"] + delays["follower"]) < 1


def delay(cluster, victim, database, store):
    """Seconds from a leader being there to a connection, by a client that knows only addresses."""
    others = [each for number, each in enumerate(cluster.addresses) if number != victim]
    addresses = random.sample(cluster.addresses, 3)
    start = time.monotonic()
    with LeaderWatch(others) as watch:
        connection = dqlite_dbapi.connect(
            addresses, database, node_store=str(store), connect_timeout=30
        )
        connected = time.monotonic()
        connection.close()
        while watch.seen_at == float("inf"):
            time.sleep(0.001)
    return connected - max(start, min(watch.seen_at, connected))
