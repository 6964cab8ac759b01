"""Disks fill up under writers: members leave in order, return by themselves, and nobody differs.

make faults ARGS="tests/faults/test_disk_full.py --engine all"     # ROUNDS=1 a case, SEED=...

Each member has a tmpfs of its own, so root is needed.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack

import pytest

from dqlite_dbapi import Client
from dqlite_node import LocalCluster
from dqlite_node.member import NO_SPACE, SERVING
from dqlite_node.space import MIB
from tests.faults.ledger import Ledger
from tests.faults.replicas import replicas_agree
from tests.support.disks import Disks

WRITERS = 8
BULK = 20_000
ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().getrandbits(32))))
NOTICED = 10.0  #: seconds in which a member must have left, or be back
FULL = 3.0  #: seconds for which it goes on like that


@pytest.fixture
def disks(tmp_path):
    with ExitStack() as stack:
        yield Disks([tmp_path / f"member{number}" for number in (1, 2, 3)], stack)


def wait_for(status, members):
    """Seconds until all of them have that status."""
    began = time.monotonic()
    while any(member.status != status for member in members):
        assert time.monotonic() - began < NOTICED, [member.status for member in members]
        time.sleep(0.02)
    return time.monotonic() - began


def fill_and_free(cluster, disks, ledger, victims, left):
    """One round; gives what it measured, in seconds."""
    ledger.wait_for_more(200)
    began = time.monotonic()
    for number in victims:
        disks.fill(number, left)
    members = [cluster.members[number] for number in victims]
    out = wait_for(NO_SPACE, members)
    if len(victims) == 1:
        ledger.wait_for_more(100)
    time.sleep(FULL)
    freed = time.monotonic()
    for number in victims:
        disks.free(number)
    back = wait_for(SERVING, members)
    ledger.wait_for_more(200)
    return began, freed, out, back


@pytest.mark.timeout(900)
@pytest.mark.parametrize("left", [0, 20 * MIB], ids=["full", "nearly_full"])
@pytest.mark.parametrize("victims", ["leader", "follower", "two"])
def test_full_disks_under_writers(engine, disks, tmp_path, database, capsys, victims, left):
    choose = random.Random(SEED)
    moments, spans = [], []
    with LocalCluster(3, directory=tmp_path, launcher=engine.launcher, restart=3) as cluster:
        ledger = Ledger(cluster.addresses, database, WRITERS, BULK)
        ledger.start("sync")
        try:
            for _ in range(ROUNDS):
                leader = cluster.leader_index()
                follower = (leader + choose.choice([1, 2])) % 3
                chosen = {"leader": [leader], "follower": [follower], "two": [leader, follower]}
                began, freed, *took = fill_and_free(cluster, disks, ledger, chosen[victims], left)
                moments += [began, freed]
                spans.append([round(each, 2) for each in took])
        finally:
            ledger.join()
        lost, doubled = ledger.verdict()
        agree = replicas_agree(cluster.addresses, database)
        with Client(cluster.addresses) as client:
            health = client.health(2.0)
        crashes = [str(member.crash) for member in cluster.members if member.crash]
        with capsys.disabled():
            print(
                f"\n{engine.name}, seed {SEED}: {victims}, {left // MIB} MiB left:"
                f" {ledger.report(moments)}\n  left after and back after (s): {spans}; replicas"
                f" {'agree' if agree else 'DIFFER'}; crashes: {crashes}"
            )
    assert (lost, doubled, ledger.errors) == ([], [], [])
    assert agree
    assert health.is_healthy, health


def test_a_start_on_a_full_disk_waits(engine, disks, tmp_path):
    """As after a crash that the full disk caused; libdqlite 1.11 would not even be created."""
    with LocalCluster(1, directory=tmp_path, launcher=engine.launcher) as cluster:
        (member,) = cluster.members
        cluster.stop(0)
        disks.fill(0, 0)
        member.start()
        assert member.status == NO_SPACE
        disks.free(0)
        wait_for(SERVING, [member])
        assert cluster.wait_leader() == member.address
