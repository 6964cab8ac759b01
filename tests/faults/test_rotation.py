"""Certificates are replaced, again and again, under writers and restarts: nobody notices.

The authority is replaced as well, with both trusted in between.
"""

from __future__ import annotations

import os
import time

import pytest

import dqlite_dbapi
from dqlite_node import LocalCluster
from tests.faults.ledger import Ledger
from tests.support.rotation import NOTICED, Rotation

WRITERS = 8
ROUNDS = int(os.environ.get("ROUNDS", "6"))


def fresh_connection(cluster, options):
    connection = dqlite_dbapi.connect(cluster.addresses, "probe", autocommit=True, **options)
    connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    connection.close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory, engine):
    """Three members, and the places of their certificates."""
    rotation = Rotation(tmp_path_factory.mktemp("rotation"))
    rotation.new_authority()
    with LocalCluster(3, tls=rotation.members.files, launcher=engine.launcher) as cluster:
        yield cluster, rotation


def pairs_under_load(cluster, rotation, ledger):
    """New pairs and a restart of a member in each round; gives when the rounds began."""
    moments = []
    for number in range(ROUNDS):
        ledger.wait_for_more(100)
        moments.append(time.monotonic())
        rotation.new_pairs()
        time.sleep(NOTICED)
        member = cluster.members[number % len(cluster.members)]
        member.stop()
        member.start()
        member.wait_level()
        fresh_connection(cluster, rotation.clients.files.client_options)
    ledger.wait_for_more(100)
    return moments


def authority_under_load(cluster, rotation, ledger):
    """Writers stay connected while the authority changes; they know the old one only."""
    moments = [time.monotonic()]
    rotation.new_authority()
    time.sleep(NOTICED)
    fresh_connection(cluster, rotation.clients.files.client_options)
    ledger.wait_for_more(100)
    return moments


def pairs_of_the_new_authority(cluster, rotation, ledger):
    """Members and clients that start now know the new authority only."""
    return pairs_under_load(cluster, rotation, ledger)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "change", [pairs_under_load, authority_under_load, pairs_of_the_new_authority]
)
def test_rotation_under_load(secured, engine, database, capsys, change):
    cluster, rotation = secured
    ledger = Ledger(cluster.addresses, database, WRITERS, **rotation.clients.files.client_options)
    ledger.start("sync")
    try:
        moments = change(cluster, rotation, ledger)
    finally:
        ledger.join()
    lost, doubled = ledger.verdict()
    with capsys.disabled():
        print(f"\n{engine.name}, {change.__name__}: {ledger.report(moments)}")
    assert (lost, doubled, ledger.errors) == ([], [], [])
