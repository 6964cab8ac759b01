"""What the clustering guide promises to happen, row by row, on the engine that `--engine` names."""

from __future__ import annotations

import time

import pytest

from dqlite_dbapi import CommitUnknown
from dqlite_node import Client, Node
from dqlite_node.exceptions import (
    ClientConnectionError,
    ClusterQuorumLostError,
    DqliteError,
    NodeStartError,
    NoLeaderError,
)


@pytest.mark.parametrize(("count", "quorum"), [(1, 1), (2, 2), (3, 2), (5, 3), (7, 4)])
def test_a_lost_quorum_is_told_in_time(machines, database, count, quorum):
    here = machines(count)
    nodes = here.up(sql_timeout=1.5)
    writer = here.nodes[0]
    writer.open_db(database)
    writer.exec("CREATE TABLE t (a INTEGER)")
    for node in nodes[quorum:]:
        node.kill()
    wait_for_leader(nodes[0])
    writer.exec("INSERT INTO t VALUES (1)")
    if quorum == 1:
        return
    nodes[1].kill()
    with Client(here.addresses, timeout=0.5) as client:
        health = client.health()
    assert (health.voters, health.quorum, health.has_quorum) == (count, quorum, False)
    started = time.monotonic()
    with pytest.raises(DqliteError):
        writer.exec("INSERT INTO t VALUES (2)")
    failure = None
    while not isinstance(failure, NoLeaderError):
        with pytest.raises(DqliteError) as caught:
            writer.exec("INSERT INTO t VALUES (2)")
        failure = caught.value
    assert isinstance(failure, ClusterQuorumLostError)
    assert time.monotonic() - started < 40
    nodes[1].start()
    nodes[1].wait_ready()
    wait_for_leader(nodes[0])
    assert {"a": 1} in writer.query("SELECT a FROM t")


def wait_for_leader(node):
    with Client(node.address, timeout=20) as client:
        client.leader()


def test_a_loop_that_catches_no_leader_survives_a_failover(machines, database):
    here = machines(3)
    nodes = here.up()
    with Client(here.addresses) as client:
        leader = here.addresses.index(client.leader())
    node = nodes[(leader + 1) % 3]
    node.open_db(database)
    node.exec("CREATE TABLE t (a INTEGER)")
    nodes[leader].kill()
    started = time.monotonic()
    while True:
        try:
            node.exec("INSERT INTO t VALUES (1)")
            break
        except (NoLeaderError, ClientConnectionError, CommitUnknown):
            continue
    assert time.monotonic() - started < 5
    nodes[leader].start()
    nodes[leader].wait_ready()
    assert {member.role for member in here.members()} == {0}


def test_close_gives_leadership_and_the_vote_away(machines):
    here = machines(4)
    nodes = here.up()
    with Client(here.addresses) as client:
        client.assign(nodes[3].id, 2)
        client.transfer(nodes[0].id)
        nodes[0].close()
        assert client.leader() in here.addresses[1:]
        roles = {member.address: member.role for member in client.cluster()}
    assert [roles[address] for address in here.addresses] == [2, 0, 0, 0]


def test_stop_gives_leadership_away_and_keeps_the_vote(machines):
    here = machines(3)
    nodes = here.up()
    with Client(here.addresses, timeout=5) as client:
        client.transfer(nodes[0].id)
        nodes[0].stop()
        started = time.monotonic()
        assert client.leader() in here.addresses[1:]
        assert time.monotonic() - started < 1
    nodes[0].start()
    assert [member.role for member in here.members()] == [0, 0, 0]


def test_one_directory_per_member(machines):
    here = machines(2)
    with here.node(0, None) as node:
        second = Node(here.addresses[1], node.data_dir)
        with pytest.raises(NodeStartError):
            second.start()


@pytest.mark.parametrize(
    ("address", "cluster", "count"),
    [
        ("127.0.0.1:1", ["127.0.0.1:1", "127.0.0.1:2"], 1),
        ("127.0.0.1:1", ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], 0),
        ("localhost:1", ["localhost:1", "localhost:2", "localhost:3"], 1),
        ("localhost:1", ["localhost:1", "10.0.0.1:1"], 2),
        ("localhost:1", None, 0),
    ],
)
def test_what_is_warned_about(tmp_path, caplog, address, cluster, count):
    (tmp_path / "file").touch()
    with pytest.raises(NodeStartError):
        Node(address, tmp_path / "file", cluster=cluster, launcher=["/no/such"]).start()
    warned = [record for record in caplog.records if record.name == "dqlite_node"]
    assert len(warned) == count
