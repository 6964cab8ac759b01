"""The leader is killed: how long are there no acknowledged writes, on default settings?"""

from __future__ import annotations

import statistics
import time
from contextlib import closing, suppress

import pytest

import dqlite_dbapi
from dqlite_node import LocalCluster
from tests.faults.ledger import figures
from tests.faults.watch import LeaderWatch

TRIALS = 20


@pytest.mark.timeout(600)
def test_a_killed_leader_is_replaced_in_two_thirds_of_a_second(engine, database, capsys):
    gaps, elections = [], []
    with (
        LocalCluster(3, launcher=engine.launcher) as cluster,
        closing(dqlite_dbapi.connect(cluster.addresses, database, autocommit=True)) as connection,
    ):
        connection.execute("CREATE TABLE t (a INTEGER)")
        for trial in range(TRIALS):
            connection.execute("INSERT INTO t VALUES (?)", (trial,))
            gap, election = lose_the_leader(cluster, connection, trial)
            gaps.append(gap)
            elections.append(election)
            cluster.heal()
            time.sleep(0.5)  # members that have just started may not have reached each other
    with capsys.disabled():
        print(f"\n{engine.name}: no writes for {figures(gaps)}", end="")
        print(f"; a new leader after {figures(elections)}")
    assert statistics.median(gaps) < 0.65


def lose_the_leader(cluster, connection, trial):
    """Kill the leader, write; gives seconds until a row was acknowledged and a leader was there."""
    leader = cluster.leader_index()
    others = [each for number, each in enumerate(cluster.addresses) if number != leader]
    with LeaderWatch(others) as watch:
        started = time.monotonic()
        cluster.kill(leader)
        while True:
            with suppress(dqlite_dbapi.OperationalError):
                connection.execute("INSERT INTO t VALUES (?)", (trial,))
                break
        written = time.monotonic()
    cluster.restart(leader)
    return written - started, min(watch.seen_at, written) - started
