"""Certificates are replaced, again and again, under writers and restarts: nobody notices.

The authority is replaced as well, with both trusted in between.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest

import dqlite_dbapi
from dqlite_node import LocalCluster, certs
from dqlite_node.tls import TLSFiles
from tests.faults.ledger import Ledger
from tests.support.certificates import HOSTS

WRITERS = 8
ROUNDS = int(os.environ.get("ROUNDS", "6"))
NOTICED = 3.0  #: seconds that files need to be seen


class Place:
    """Where members or clients have their files, which are replaced by renaming."""

    def __init__(self, directory):
        directory.mkdir()
        self._directory = directory
        self.files = TLSFiles(*[str(directory / name) for name in ("ca.pem", "own.pem", "own.key")])

    def put(self, name, *sources):
        fresh = self._directory / f"{name}.new"
        with open(fresh, "wb") as out:
            for source in sources:
                out.write(source.read_bytes())
        fresh.replace(self._directory / name)

    def trust(self, *authorities):
        self.put("ca.pem", *[certs.pair_in(each, "ca").cert for each in authorities])

    def use(self, pair):
        self.put("own.key", pair.key)
        self.put("own.pem", pair.cert)


class Rotation:
    """One authority after the other for one place of members and one of clients."""

    def __init__(self, directory):
        self._directory = directory
        self.members = Place(directory / "members")
        self.clients = Place(directory / "clients")
        self._authority = None

    @property
    def _places(self):
        return self.members, self.clients

    def new_authority(self):
        """Trust the new one, then get pairs from it, then forget the old one."""
        old, number = self._authority, len(list(self._directory.iterdir()))
        self._authority = self._directory / f"authority{number}"
        certs.make_authority(self._authority)
        for place in self._places:
            place.trust(*filter(None, [old, self._authority]))
        time.sleep(NOTICED if old else 0)
        self.new_pairs()
        time.sleep(NOTICED if old else 0)
        for place in self._places:
            place.trust(self._authority)
        if old:
            shutil.rmtree(old)

    def new_pairs(self):
        """As a nightly job would: new keys as well."""
        self.members.use(certs.issue(self._authority, "member", ["member"], hosts=HOSTS))
        self.clients.use(certs.issue(self._authority, "client", ["client"]))


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
