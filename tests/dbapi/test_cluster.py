"""The cluster clients, sync and asyncio, against real members."""

from __future__ import annotations

import sqlite3
import struct
import time
from contextlib import ExitStack

import pytest

import dqlite_dbapi
from dqlite_dbapi import InterfaceError, NoLeader, NotSupportedError, OperationalError, Role
from dqlite_dbapi.aio.cluster import AsyncClient
from dqlite_node import LocalCluster, Node
from tests.support.fakeserver import FakeServer
from tests.support.flows import failure, message, server, text


@pytest.fixture(params=["sync", "aio"])
def new_client(request):
    """`Client`, and `AsyncClient` behind a blocking facade; all are closed at the end."""
    with ExitStack() as stack:

        def make(*args, **options):
            if request.param == "sync":
                client = dqlite_dbapi.Client(*args, **options)
            else:
                loop = request.getfixturevalue("loop_thread")
                client = loop.call(AsyncClient, *args, **options)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(new_client, cluster):
    return new_client(cluster.addresses)


@pytest.fixture
def own(engine):
    """Three members that a test may hurt."""
    with LocalCluster(3, launcher=engine.launcher) as members:
        yield members


def test_leader_and_members(cluster, client):
    members = client.cluster()
    assert [member.address for member in members] == cluster.addresses
    assert {(member.role, member.role_name) for member in members} == {(Role.VOTER, "voter")}
    assert [member.address for member in members if member.is_leader] == [client.leader()]


def test_any_member_is_enough(cluster, client, new_client):
    for address in cluster.addresses:
        assert new_client(address).leader() == client.leader()


def test_options_are_those_of_connect(cluster, new_client):
    client = new_client(f"dqlite://{cluster.addresses[0]}/shop", keepalive=3.0)
    assert (client.options.database, client.options.keepalive) == ("shop", 3.0)
    with pytest.raises(InterfaceError):
        new_client(cluster.addresses, no_such_option=1)
    with pytest.raises(InterfaceError):
        new_client(cluster.addresses, tls_ca="/no/such/file")


def test_transfer(client):
    target = next(member for member in client.cluster() if not member.is_leader)
    for _ in range(2):
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
    for call in (client.remove, client.transfer, lambda member: client.assign(member, Role.SPARE)):
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


def test_the_last_voter_stays(single, new_client):
    client = new_client(single.addresses)
    member = client.cluster()[0]
    for refused in (lambda: client.remove(member.id), lambda: client.assign(member.id, Role.SPARE)):
        with pytest.raises(NotSupportedError):
            refused()
    assert client.leader() == member.address


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


def test_dump_of_an_unknown_database(client, database):
    with pytest.raises(OperationalError) as caught:
        client.dump(database)
    assert caught.value.code == 1002


def test_roles_change_and_a_leader_hands_over_before_it_is_removed(new_client, engine):
    with LocalCluster(2, launcher=engine.launcher) as cluster:
        client = new_client(cluster.addresses)
        leader = next(member for member in client.cluster() if member.is_leader)
        client.assign(2, Role.SPARE)
        assert {m.id: m.role for m in client.cluster()} == {1: Role.VOTER, 2: Role.SPARE}
        client.assign(2, Role.VOTER)
        client.remove(leader.id)
        assert [member.id for member in client.cluster()] == [2]


def test_a_leader_hands_over_before_it_is_demoted(own, new_client):
    client = new_client(own.addresses)
    leader = next(member for member in client.cluster() if member.is_leader)
    client.assign(leader.id, Role.SPARE)
    found = {member.id: member for member in client.cluster()}
    assert (found[leader.id].role, found[leader.id].is_leader) == (Role.SPARE, False)


def test_an_unreachable_member_is_not_promoted_and_blocks_no_other_change(own, new_client):
    client = new_client(own.addresses)
    first, second, third = client.cluster()
    client.transfer(first.id)
    client.assign(third.id, Role.SPARE)
    own.kill(2)
    started = time.monotonic()
    with pytest.raises(OperationalError):
        client.assign(third.id, Role.VOTER)
    client.assign(second.id, Role.SPARE)
    client.remove(third.id)
    assert time.monotonic() - started < 10


def test_without_a_leader(new_client):
    client = new_client("127.0.0.1:1", timeout=0.3)
    with pytest.raises(NoLeader) as caught:
        client.leader()
    assert "127.0.0.1:1" in str(caught.value)


def test_a_closed_client_refuses(client):
    client.close()
    assert client.closed
    for call in (client.leader, client.health, client.watch):
        with pytest.raises(InterfaceError):
            call()


def test_a_fresh_member_knows_no_leader(tmp_path, new_client, engine):
    port_owner = LocalCluster(1, directory=tmp_path / "x")
    node = Node(port_owner.addresses[0], tmp_path / "fresh", 4242, launcher=engine.launcher)
    with node, pytest.raises(NoLeader):
        new_client(node.address, timeout=0.3).leader()
    port_owner.close()


# -- health


def test_a_healthy_cluster(cluster, client, database):
    health = client.health(5.0, database=database)
    assert health.is_healthy
    assert health.confirmed
    assert client.health(5.0).confirmed is None
    assert health.has_quorum
    assert health.warnings == ()
    assert (health.voters, health.quorum, health.voters_reachable) == (3, 2, 3)
    assert health.leader == client.leader()
    assert [member.address for member in health.members] == cluster.addresses
    for member in health.members:
        assert member.role_name == "voter"
        assert (member.weight, member.failure_domain, member.error) == (0, 0, None)
        assert (member.follows, member.knows_voters) == (health.leader, 3)
        assert 0 < member.round_trip < 5000


def test_one_address_is_enough_for_health(cluster, new_client):
    health = new_client(cluster.addresses[1]).health(5.0)
    assert [member.reachable for member in health.members] == [True] * 3


def test_two_voters_are_warned_about(new_client, engine):
    with LocalCluster(2, launcher=engine.launcher) as cluster:
        health = new_client(cluster.addresses).health(5.0)
        assert health.has_quorum
        assert (health.voters, health.quorum) == (2, 2)
        assert len(health.warnings) == 1


def test_a_frozen_and_a_dead_member_cost_about_a_second(own, new_client):
    client = new_client(own.addresses)
    leader = own.leader_index()
    frozen, dead = (index for index in range(3) if index != leader)
    own.pause(frozen)
    time.sleep(0.2)  # a signal is not obeyed at once
    started = time.monotonic()
    health = client.health()
    assert time.monotonic() - started < 2
    assert health.leader == own.addresses[leader]
    assert [member.reachable for member in health.members].count(False) == 1
    assert health.has_quorum
    assert not health.is_healthy
    assert len(health.warnings) == 2
    own.kill(dead)
    health = client.health()
    assert not health.has_quorum
    assert health.voters_reachable == 1
    own.resume(frozen)


def test_nobody_answers(new_client):
    health = new_client(["127.0.0.1:1", "127.0.0.1:2"]).health()
    assert health.leader is None
    assert not health.has_quorum
    assert {member.role_name for member in health.members} == {"unknown"}
    assert all(member.error for member in health.members)


def _peer(leads_with, members):
    """A member that is asked for the state, and whose database cannot be read."""

    def script(connection):
        own = "{}:{}".format(*connection.getsockname())
        listing = struct.pack("<Q", len(members(own)))
        for number, address in enumerate(members(own), start=1):
            listing += struct.pack("<Q", number) + text(address) + bytes(8)
        opens = b"zeroblob" in connection.recv(65536)
        members_listed = message(3, listing)
        opened = message(4, bytes(8)) + failure(10506, "leadership lost")
        refused = failure(1005, "schema") + members_listed + opened
        connection.sendall(refused if opens else server(leads_with(own)) + members_listed)
        if connection.recv(65536):
            connection.sendall(message(10, bytes(16)))
            connection.recv(65536)

    return FakeServer(script)


def test_a_leader_that_cannot_confirm_a_read(new_client):
    """As after a disk was full (hazard H61)."""
    with _peer(lambda own: own, lambda own: [own]) as peer:
        client = new_client(peer.address)
        assert client.health(5.0).is_healthy
        health = client.health(5.0, database="main")
        assert health.has_quorum
        assert not health.is_healthy
        assert health.confirmed is False
        assert len(health.warnings) == 1


def test_members_that_disagree(new_client):
    with (
        _peer(lambda own: own, lambda own: [own]) as first,
        _peer(lambda own: own, lambda own: [first.address, own]) as second,
    ):
        health = new_client([first.address, second.address]).health(5.0)
        assert health.leader in (first.address, second.address)
        assert any(first.address in warning for warning in health.warnings)


# -- watch


def _until(changes, kind):
    for change in changes:
        if change.kind == kind:
            return change
    return pytest.fail(f"no {kind} was seen")


def test_watching_a_cluster_change(own, new_client):
    client = new_client(own.addresses)
    changes = client.watch(0.05, timeout=5.0)
    first = next(changes)
    assert (first.kind, first.address) == ("state", client.leader())
    assert first.health.is_healthy
    target = next(member for member in client.cluster() if not member.is_leader)
    client.transfer(target.id)
    moved = _until(changes, "leader_changed")
    assert moved.before
    while not moved.after:
        moved = _until(changes, "leader_changed")
    assert moved.address == target.address

    index = next(n for n, address in enumerate(own.addresses) if address != target.address)
    other = own.members[index]
    client.assign(other.id, Role.SPARE)
    role = _until(changes, "role_changed")
    assert (role.address, role.before, role.after) == (other.address, "voter", "spare")
    own.kill(index)
    assert _until(changes, "unreachable").address == other.address
    own.restart(index)
    assert _until(changes, "reachable").address == other.address
    client.remove(other.id)
    assert _until(changes, "member_removed").address == other.address
    client.add(other.id, other.address)
    added = _until(changes, "member_added")
    assert added.address == other.address


def test_watching_ends_with_the_client(client):
    changes = client.watch(0.01)
    assert next(changes).kind == "state"
    client.close()
    assert list(changes) == []


def test_watching_ends_when_it_is_closed(client):
    changes = client.watch(0.01)
    next(changes)
    changes.close()
    assert list(changes) == []
