"""The clustering guide, row by row, on the engine that `--engine` names."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from dqlite_node import Client, Node, NodeInfo
from dqlite_node.exceptions import (
    ClientClosedError,
    ClientConnectionError,
    ClientError,
    ClusterError,
    ClusterJoinError,
    ClusterQuorumLostError,
    DqliteError,
    NodeAlreadyRunningError,
    NodeCrashed,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
    NodeStopError,
    NoLeaderError,
)
from tests.support.machines import Machines


@pytest.fixture(scope="module")
def three(engine, tmp_path_factory):
    """Three nodes with the same list, for tests that leave them as they are."""
    with ExitStack() as stack:
        yield Machines(3, tmp_path_factory.mktemp("three"), engine, stack).up()


# --- Node -----------------------------------------------------------------------------------------


def test_a_node_is_made_by_position_and_not_started(machines):
    one = machines(1)
    node = Node(one.addresses[0], one.folders[0])
    assert not node.is_running
    assert not one.folders[0].exists()
    assert node.address == node.bind_address == one.addresses[0]
    assert node.data_dir == Path(one.folders[0])
    assert node.id > 0


def test_the_smallest_program(machines, database):
    one = machines(1)
    with one.node(0, None) as node:
        assert node.is_running
        assert node.bind_address == one.addresses[0]
        node.open_db(database)
        node.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        assert node.exec("INSERT INTO t (b) VALUES (?)", ["x"]) == (1, 1)
        assert node.query("SELECT * FROM t") == [{"a": 1, "b": "x"}]
    assert not node.is_running
    assert one.node(0).id == node.id


def test_stop_and_close_may_be_repeated(machines):
    node = machines(1).node(0)
    node.stop()
    node.start()
    with pytest.raises(NodeAlreadyRunningError):
        node.start()
    for end in (node.stop, node.stop, node.close, node.close):
        end()
    assert not node.is_running


def test_set_bind_address(machines):
    one = machines(1)
    node = one.node(0)
    node.set_bind_address(one.addresses[0].replace("127.0.0.1", "0.0.0.0"))  # noqa: S104
    with node:
        assert node.bind_address.startswith("0.0.0.0:")
        with pytest.raises(NodeAlreadyRunningError):
            node.set_bind_address(one.addresses[0])


def test_any_address_cannot_be_advertised():
    with pytest.raises(NodeError) as caught:
        Node("0.0.0.0:9001", "/nowhere")
    assert caught.value.hint
    with pytest.raises(NodeError):
        Node("10.0.0.1:9001", "/nowhere", cluster=["10.0.0.1:9001", "0.0.0.0:9001"])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_one_cluster_in_any_order(machines, order):
    here = machines(3)
    for number in order:
        node = here.node(number)
        node.start()
        assert node.is_running
        time.sleep(0.2)
    for node in here.nodes:
        node.wait_ready(20)
    members = here.members()
    assert [member.role for member in members] == [0, 0, 0]
    assert {member.address for member in members} == set(here.addresses)
    assert {member.id for member in members} == {node.id for node in here.nodes}


def test_the_first_serves_before_the_others_exist(machines, database):
    node = machines(3).node(0)
    node.start()
    node.open_db(database)
    assert node.exec("CREATE TABLE t (a INTEGER)") == (0, 0)


def test_a_lost_directory_founds_no_second_cluster(machines, database):
    """The first of the list has lost everything; the others are one cluster, so it joins that."""
    here = machines(3)
    nodes = here.up()
    nodes[0].open_db(database)
    nodes[0].exec("CREATE TABLE t (a INTEGER)")
    old = nodes[0].id
    nodes[0].kill()
    here.folders[0].rename(here.folders[0].with_suffix(".lost"))
    again = here.node(0)
    again.start()
    again.wait_ready(20)
    assert again.id != old
    again.open_db(database)
    assert again.query("SELECT * FROM t") == []
    members = here.members()
    assert {member.id for member in members} == {again.id, nodes[1].id, nodes[2].id}
    assert [member.role for member in members] == [0, 0, 0]


def test_a_lost_directory_waits_for_a_leader(machines):
    """One frozen member is left that answers nothing: still no second cluster."""
    here = machines(3)
    nodes = here.up()
    nodes[0].kill()
    nodes[1].kill()
    nodes[2].pause()
    here.folders[0].rename(here.folders[0].with_suffix(".lost"))
    again = here.node(0)
    again.start()
    with pytest.raises(ClusterJoinError):
        again.wait_ready(1)
    assert again.status == "joining"
    again.stop()


# --- SQL ------------------------------------------------------------------------------------------


def test_every_node_takes_writes(three, database):
    for number, node in enumerate(three):
        node.open_db(database)
        node.exec("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b BLOB)")
        assert node.exec("INSERT INTO t (b) VALUES (?)", [b"\0"]) == (number + 1, 1)
    assert three[0].exec("UPDATE t SET b = :b WHERE a > :a", {"a": 1, "b": None})[1] == 2
    for node in three:
        assert node.query("SELECT count(*) AS n FROM t WHERE b IS NULL") == [{"n": 2}]


def test_a_transaction_across_calls(three, database):
    node, other = three[1], three[2]
    for each in (node, other):
        each.open_db(database)
    node.exec("CREATE TABLE t (a INTEGER)")
    for end, count in ((node.rollback, 0), (node.commit, 1)):
        node.begin()
        node.exec("INSERT INTO t VALUES (1)")
        assert node.query("SELECT count(*) AS n FROM t") == [{"n": 1}]
        assert other.query("SELECT count(*) AS n FROM t") == [{"n": 0}]
        with pytest.raises(NodeError):
            node.open_db(f"{database}x")
        end()
        assert other.query("SELECT count(*) AS n FROM t") == [{"n": count}]


def test_several_databases(three, database):
    node = three[0]
    for name in ("one", "two"):
        node.open_db(f"{name}_{database}")
        node.exec("CREATE TABLE t (a TEXT)")
        node.exec("INSERT INTO t VALUES (?)", (name,))
    node.open_db(f"one_{database}")
    assert node.query("SELECT a FROM t") == [{"a": "one"}]


@pytest.mark.parametrize("consistency", ["leader", "strong", "linearizable", "stale"])
def test_consistencies(three, database, consistency, eventually):
    for node in three:
        node.open_db(database)
    three[0].exec("CREATE TABLE t (a INTEGER)")
    three[0].exec("INSERT INTO t VALUES (7)")
    for node in three:
        if consistency == "stale":
            eventually(lambda node=node: has_copy(node))
        rows = node.query("SELECT a AS found FROM t", consistency=consistency, staleness=0)
        assert rows == [{"found": 7}]


def has_copy(node):
    """Whether the member itself, leader or not, has what was written last."""
    try:
        return node.query("SELECT a FROM t WHERE a = ?", [7], consistency="stale", staleness=0)
    except Exception:
        return False


def test_wrong_use_of_sql(three, machines, database):
    with pytest.raises(NodeError):
        three[0].query("SELECT 1", consistency="none")
    with pytest.raises(DqliteError):
        three[0].open_db(":memory:")
    stopped = machines(1).node(0)
    for call in (lambda: stopped.open_db(database), lambda: stopped.exec("SELECT 1")):
        with pytest.raises(NodeNotRunningError):
            call()
    stopped.start()
    with pytest.raises(NodeError):
        stopped.exec("SELECT 1")


# --- Client ---------------------------------------------------------------------------------------


def test_the_client(three):
    addresses = [node.address for node in three]
    with Client([addresses[2]]) as client:
        assert client.leader() in addresses
        members = client.cluster()
        assert all(isinstance(member, NodeInfo) for member in members)
        assert [member.role_name for member in members] == ["voter"] * 3
        assert sum(member.is_leader for member in members) == 1
        client.add(three[1].id, three[1].address)
        health = client.health()
        assert (health.voters, health.quorum, health.has_quorum) == (3, 2, True)
        for node in three:
            client.transfer(node.id)
            assert client.leader() == node.address
            assert client.describe(node.address).failure_domain == 0


def test_members_by_hand(machines):
    """The guide's other way: number the nodes, and add them to the first one's cluster."""
    here = machines(3)
    nodes = [here.node(number, number + 1) for number in range(3)]
    for node in nodes:
        node.start()
    with Client([nodes[0].address]) as client:
        for node in nodes[1:]:
            client.add(node.id, node.address)
        assert [(member.id, member.role) for member in client.cluster()] == [(1, 0), (2, 0), (3, 0)]
        client.remove(1)
        assert {member.id for member in client.cluster()} == {2, 3}
        client.remove(3)
        with pytest.raises(DqliteError):
            client.remove(2)


def test_no_leader_is_told_in_time(machines):
    addresses = machines(2).addresses
    started = time.monotonic()
    with Client(addresses, timeout=0.5) as client, pytest.raises(NoLeaderError):
        client.leader()
    assert time.monotonic() - started < 5


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (DqliteError, [NodeError, ClientError, ClusterError]),
        (
            NodeError,
            [
                NodeStartError,
                NodeStopError,
                NodeAlreadyRunningError,
                NodeNotRunningError,
                NodeCrashed,
            ],
        ),
        (ClientError, [NoLeaderError, ClientConnectionError, ClientClosedError]),
        (ClusterError, [ClusterJoinError, ClusterQuorumLostError]),
    ],
)
def test_the_tree(parent, children):
    assert all(issubclass(child, parent) for child in children)
    assert issubclass(ClusterQuorumLostError, NoLeaderError)


def test_errors_of_a_client():
    client = Client(["127.0.0.1:1"])
    with pytest.raises(ClientConnectionError):
        client.describe("127.0.0.1:1")
    client.close()
    with pytest.raises(ClientClosedError):
        client.leader()
