from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

import dqlite_dbapi
from dqlite_node import Client, LocalCluster, NodeError, NodeNotRunningError, NodeStartError

MODES = pytest.mark.parametrize(
    "options",
    [{}, {"in_process": True}, {"dialer": "engine"}],
    ids=["child", "in_process", "engine_dialer"],
)


def roles(cluster):
    with Client(cluster.addresses, timeout=10) as client:
        return {member.address: member.role_name for member in client.cluster()}


def count(cluster, database):
    with closing(dqlite_dbapi.connect(cluster.addresses, database=database)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM t")
        return cursor.fetchone()[0]


@MODES
def test_all_members_are_voters_and_take_writes(options, database):
    with LocalCluster(3, **options) as cluster:
        assert roles(cluster) == dict.fromkeys(cluster.addresses, "voter")
        assert [member.id for member in cluster.members] == [1, 2, 3]
        assert cluster.wait_leader() == cluster.addresses[cluster.leader_index()]
        with closing(dqlite_dbapi.connect(cluster.addresses, database=database)) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE TABLE t (a INTEGER)")
            for number in range(20):
                cursor.execute("INSERT INTO t VALUES (?)", (number,))
            connection.commit()
        assert count(cluster, database) == 20


@MODES
def test_whoever_leads_next_knows_all_voters(options):
    with LocalCluster(3, **options) as cluster, Client(cluster.addresses, timeout=10) as client:
        assert {member.knows_voters for member in client.health().members} == {3}
        leader = cluster.leader_index()
        client.transfer(cluster.members[(leader + 1) % 3].id)
        assert roles(cluster) == dict.fromkeys(cluster.addresses, "voter")


@pytest.mark.parametrize("action", ["kill", "stop", "pause"])
def test_a_lost_leader_is_replaced_and_comes_back(action):
    with LocalCluster(3) as cluster:
        lost = cluster.leader_index()
        getattr(cluster, action)(lost)
        others = [a for a in cluster.addresses if a != cluster.addresses[lost]]
        with Client(others, timeout=20) as client:
            while client.leader() not in others:
                pass
        if action == "pause":
            cluster.resume(lost)
        cluster.restart(lost)
        assert all(member.is_running for member in cluster.members)
        assert roles(cluster) == dict.fromkeys(cluster.addresses, "voter")


def test_a_directory_is_kept_and_a_temporary_one_is_not(tmp_path):
    with LocalCluster(1) as cluster:
        temporary = cluster.members[0].data_dir
        assert temporary.exists()
    assert not temporary.exists()
    with LocalCluster(3, directory=tmp_path) as cluster:
        ports = [int(address.rpartition(":")[2]) for address in cluster.addresses]
    with LocalCluster(3, directory=tmp_path, ports=ports) as again:
        assert again.addresses == cluster.addresses
        assert roles(again) == dict.fromkeys(again.addresses, "voter")


def test_nothing_is_left_of_a_cluster_that_does_not_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cluster = LocalCluster(2, ports=[taken.getsockname()[1], 1])
        with pytest.raises(NodeStartError):
            cluster.start()
    assert not any(member.is_running for member in cluster.members)
    assert not Path(cluster.members[0].data_dir).parent.exists()
    cluster.close()


def test_the_number_of_ports_is_checked():
    with pytest.raises(NodeError):
        LocalCluster(2, ports=[9001, 9002, 9003])


def test_a_dead_member_cannot_be_killed_again():
    with LocalCluster(1) as cluster:
        cluster.kill(0)
        with pytest.raises(NodeNotRunningError):
            cluster.kill(0)
        cluster.restart(0)
        assert cluster.leader_index() == 0
