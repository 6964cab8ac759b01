"""Members restart one after the other, and change their engine, under writers: nobody notices.

Each is given the time to catch up before the next one stops: a leader then needs its answers.

make faults ARGS="tests/faults/test_rolling.py"     # ROUNDS=2 times around, SEED=...
"""

from __future__ import annotations

import os
import random
import time

import pytest

from dqlite_dbapi import Client
from dqlite_node import LocalCluster, Node
from tests.faults.ledger import Ledger
from tests.faults.replicas import replicas_agree
from tests.support.engines import SYSTEM, named

WRITERS = 8
ROUNDS = int(os.environ.get("ROUNDS", "2"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().getrandbits(32))))
LONGEST_GAP = 0.5
NEWEST = "sid"
MOMENT = 0.2


def around(choose):
    """Numbers of the members in a random order."""
    return choose.sample(range(3), 3)


def moved(cluster, number, engine):
    """The same member on another engine, not started."""
    old = cluster.members[number]
    node = Node(old.address, old.data_dir, launcher=engine.launcher, restart=0)
    cluster.members[number] = node
    old.close(handover=False)
    return node


def lacking(node, ledger):
    """How many rows that were acknowledged a moment ago the member's own copy does not have."""
    then = len(ledger.acknowledged)
    time.sleep(MOMENT)
    (row,) = node.query("SELECT count(*) AS present FROM ledger", consistency="stale")
    return max(then - row["present"], 0)


def step(cluster, ledger, number, engine, database):
    """Stop one member, start it on `engine`, wait until it has caught up.

    Gives the moments of the stop and of the start, and how it caught up.
    """
    ledger.wait_for_more(100)
    stopped = time.monotonic()
    cluster.stop(number)
    ledger.wait_for_more(100)
    node = moved(cluster, number, engine)
    started = time.monotonic()
    node.start()
    node.wait_level()
    level = time.monotonic() - started
    node.open_db(database)
    lag = lacking(node, ledger)
    with Client(cluster.addresses) as client:
        assert client.health(2.0).is_healthy
    ledger.wait_for_more(100)
    return stopped, started, f"waited {level:.1f} s, lacked {lag} rows then"


def run(cluster, database, driver, engines):
    """Every member once on each of `engines`; gives the ledger, and a line and moments a step."""
    choose = random.Random(SEED)
    ledger = Ledger(cluster.addresses, database, WRITERS)
    ledger.start(driver)
    names, moments = [], []
    try:
        for engine in engines:
            for number in around(choose):
                led = "leader" if number == cluster.leader_index() else "follower"
                *both, level = step(cluster, ledger, number, engine, database)
                moments += both
                names.append(f"member {number} ({led}) to {engine.name}, {level}")
    finally:
        ledger.join()
    return ledger, names, moments


@pytest.fixture
def check(capsys, database):
    """Runs writers while members go through `engines`, prints the figures and compares them."""

    def run_and_check(title, cluster, driver, engines):
        ledger, names, moments = run(cluster, database, driver, engines)
        lost, doubled = ledger.verdict()
        agree = replicas_agree(cluster.addresses, database)
        gaps = ledger.gaps(moments)
        with capsys.disabled():
            print(
                f"\n{title}, {driver}, seed {SEED}: {ledger.report(moments)};"
                f" replicas {'agree' if agree else 'DIFFER'}"
            )
            for name, off, on in zip(names, gaps[::2], gaps[1::2], strict=True):
                print(f"  {name}: gap {off:.2f} s at the stop, {on:.2f} s at the start")
        assert (lost, doubled, ledger.errors) == ([], [], [])
        assert agree
        assert max(gaps) < LONGEST_GAP

    return run_and_check


@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", ["sync", "aio"])
def test_members_restart_one_after_the_other(driver, engine, check):
    with LocalCluster(3, launcher=engine.launcher) as cluster:
        check(f"{engine.name}, restarts", cluster, driver, [engine] * ROUNDS)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", ["sync", "aio"])
def test_the_engine_is_upgraded_member_by_member(driver, check):
    """From the system's to the newest in the directories as they are."""
    with LocalCluster(3, launcher=named(SYSTEM).launcher) as cluster:
        check("upgrade", cluster, driver, [named(NEWEST)])
