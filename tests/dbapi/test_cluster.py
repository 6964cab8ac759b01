"""The cluster client against real members."""

from __future__ import annotations

import sqlite3

import pytest

import dqlite_dbapi
from dqlite_dbapi import (
    Client,
    InterfaceError,
    NoLeader,
    NotSupportedError,
    OperationalError,
    Role,
)
from dqlite_node import LocalCluster, Node


@pytest.fixture
def client(cluster):
    with Client(cluster.addresses) as client:
        yield client


def test_leader_and_members(cluster, client):
    members = client.cluster()
    assert [member.address for member in members] == cluster.addresses
    assert {(member.role, member.role_name) for member in members} == {(Role.VOTER, "voter")}
    assert [member.address for member in members if member.is_leader] == [client.leader()]


def test_any_member_is_enough(cluster, client):
    for address in cluster.addresses:
        with Client(address) as other:
            assert other.leader() == client.leader()


def test_transfer(cluster, client):
    target = next(member for member in client.cluster() if not member.is_leader)
    client.transfer(target.id)
    assert client.leader() == target.address
    client.transfer()
    assert client.leader() != target.address


def test_adding_a_member_again_does_nothing(client):
    member = client.cluster()[2]
    client.add(member.id, member.address)
    assert member.address in [each.address for each in client.cluster()]


def test_an_id_or_address_of_another_member_is_refused(client):
    first, second, _ = client.cluster()
    for member_id, address in ((first.id, second.address), (99, second.address)):
        with pytest.raises(OperationalError):
            client.add(member_id, address)


def test_unknown_members(client):
    for call in (client.remove, lambda member: client.assign(member, Role.SPARE)):
        with pytest.raises(OperationalError):
            call(12345)


def test_an_unreachable_member_is_not_added(client):
    with pytest.raises(OperationalError):
        client.add(77, "127.0.0.1:1")
    assert len(client.cluster()) == 3


def test_describe_and_weight(cluster, client):
    client.weight(cluster.addresses[1], 7)
    assert client.describe(cluster.addresses[1]).weight == 7
    client.weight(cluster.addresses[1], 0)


def test_the_last_voter_stays(single):
    with Client(single.addresses) as client, pytest.raises(NotSupportedError):
        client.remove(client.cluster()[0].id)


def test_dump_opens_in_sqlite(cluster, client, database, tmp_path):
    with dqlite_dbapi.connect(cluster.addresses, database) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES ('dumped')")
    connection.close()
    for suffix, (_, content) in zip(("", "-wal"), client.dump(database), strict=True):
        if content:
            (tmp_path / f"copy.db{suffix}").write_bytes(content)
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT a FROM t").fetchall() == [("dumped",)]
    copy.close()


def test_roles_change_and_a_leader_hands_over_before_it_is_removed():
    with LocalCluster(2) as cluster, Client(cluster.addresses) as client:
        leader = next(member for member in client.cluster() if member.is_leader)
        client.assign(2, Role.SPARE)
        assert {m.id: m.role for m in client.cluster()} == {1: Role.VOTER, 2: Role.SPARE}
        client.assign(2, Role.VOTER)
        client.remove(leader.id)
        assert [member.id for member in client.cluster()] == [2]


def test_without_a_leader():
    with Client("127.0.0.1:1", timeout=0.3) as client, pytest.raises(NoLeader) as caught:
        client.leader()
    assert "127.0.0.1:1" in str(caught.value)


def test_a_closed_client_refuses(cluster):
    client = Client(cluster.addresses)
    client.close()
    with pytest.raises(InterfaceError):
        client.leader()


def test_a_fresh_member_knows_no_leader(tmp_path):
    port_owner = LocalCluster(1, directory=tmp_path / "x")
    node = Node(port_owner.addresses[0], tmp_path / "fresh", 4242)
    with node, Client(node.address, timeout=0.3) as client, pytest.raises(NoLeader):
        client.leader()
    port_owner.close()
