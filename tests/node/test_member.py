"""What a member does by itself: options by engine, joining, room on the disk, crashes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress

import pytest

from dqlite_dbapi import OperationalError, Role
from dqlite_node import Client, ClusterJoinError, LocalCluster, NodeCrashed, NodeStartError
from dqlite_node.space import LEAST, MIB, USUAL, Room, look, usual_limit
from dqlite_node.states import Restarts

FEATURES = "import json; from dqlite_node import features; print(json.dumps(features()))"


@pytest.fixture
def have(engine):
    """Features of the engine under test."""
    command = [*engine.launcher, sys.executable, "-c", FEATURES]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.fixture
def node(make_node, engine):
    """Make nodes that run on the engine under test."""
    return lambda *arguments, **options: make_node(
        *arguments, **{"launcher": engine.launcher, **options}
    )


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "options"),
    [
        ("set_snapshot_params_v2", {"snapshot_params": (4, 8), "snapshot_strategy": "dynamic"}),
        ("set_snapshot_compression", {"snapshot_compression": True}),
        ("set_block_size", {"block_size": 4096}),
        ("set_busy_timeout", {"busy_timeout_ms": 100}),
        ("set_pool_thread_count", {"pool_threads": 2}),
    ],
)
def test_an_option_is_set_or_refused(node, have, feature, options):
    member = node(**options)
    if have[feature]:
        with member, Client(member.address) as client:
            assert client.leader() == member.address
    else:
        with pytest.raises(NodeStartError) as caught:
            member.start()
        assert caught.value.hint
        assert not member.is_running


def test_every_engine_has_these(node):
    member = node(
        network_latency_ms=30, failure_domain=2**63, snapshot_params=(4, 8), auto_recovery=True
    )
    with member, Client(member.address) as client:
        assert client.describe(member.address).failure_domain == 2**63


def test_auto_recovery_is_a_choice(node):
    """A damaged segment: refused by name; with the switch the member starts without its rows."""
    options = {"snapshot_params": (2, 4)}
    with node(**options) as member, Client(member.address) as client:
        client.leader()
    segment = next(member.data_dir.glob("0000*-*"))
    data = bytearray(segment.read_bytes())
    data[40:60] = os.urandom(20)
    segment.write_bytes(data)
    with pytest.raises(NodeStartError) as caught:
        node(**options).start()
    assert segment.name in str(caught.value)
    with node(auto_recovery=True, **options) as again:
        assert again.is_running
    assert list(member.data_dir.glob("corrupt-*"))


# --- joining --------------------------------------------------------------------------------------


def test_an_id_of_another_member_is_refused(node, tmp_path):
    with LocalCluster(1) as cluster:
        taken, address = cluster.members[0].id, cluster.addresses[0]
        with node(node_id=2, cluster=[address]) as first:
            first.wait_ready()
            with closing(socket.create_server(("127.0.0.1", 0))) as other:
                port = other.getsockname()[1]
            second = node(f"127.0.0.1:{port}", tmp_path / "second", 2, cluster=[address])
            second.start()
            with pytest.raises(ClusterJoinError) as caught:
                second.wait_ready(1.5)
            assert first.address in str(caught.value)
            second.stop()
        assert taken == 1


def test_a_bootstrap_id_does_not_found_while_others_are_there(node):
    """A guide's script that numbers its nodes: number 1 was wiped, and runs again."""
    with LocalCluster(1) as cluster:
        listed = [node().address, *cluster.addresses]
        member = node(node_id=1, cluster=listed)
        member.start()
        member.wait_ready()
        assert member.id not in (1, cluster.members[0].id)
        with Client(cluster.addresses) as client:
            assert len(client.cluster()) == 2
        member.stop()
        member.start()
        member.wait_ready()
        again = node(node_id=1, cluster=listed)
        assert again.id == member.id


@pytest.mark.parametrize("node_id", [None, 2])
@pytest.mark.parametrize("kept", [[], ["info.yaml"]], ids=["nothing", "identity"])
def test_a_lost_log_is_never_a_voter_again(node, eventually, node_id, kept):
    """An empty log under the old id could vote acknowledged rows away: out first, then in anew."""
    with LocalCluster(1) as cluster:
        listed = [*cluster.addresses, node().address]
        with node(node_id=node_id, cluster=listed) as lost:
            lost.wait_ready()
            first = lost.id
            with Client(listed) as client:
                client.assign(lost.id, Role.SPARE)  # or the other one could not go on alone
        for path in lost.data_dir.iterdir():
            if path.name not in kept:
                path.unlink()
        with node(node_id=node_id, cluster=listed) as again:
            again.wait_ready()
            assert (again.id == first) is (node_id is not None)
            with Client(listed) as client:
                ids = [member.id for member in client.cluster()]
            assert sorted(ids) == sorted([1, again.id])


def test_a_join_that_was_cut_short_goes_on(node):
    """The flag is still there: it was made a voter before, so its engine must run at once."""
    with LocalCluster(1) as cluster:
        member = node(node_id=None, cluster=cluster.addresses)
        member.start()
        member.wait_ready()
        assert not (member.data_dir / "join").exists()
        member.kill()
        (member.data_dir / "join").touch()
        member.start()
        member.wait_ready()
        assert not (member.data_dir / "join").exists()
        with Client(cluster.addresses) as client:
            assert [each.role for each in client.cluster()] == [Role.VOTER] * 2


def test_another_founder_needs_the_bootstrap_id(node):
    member = node(node_id=7, cluster=[node().address])
    with pytest.raises(NodeStartError):
        member.start()


# --- room on the disk -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "limit"),
    [(2**40, USUAL), (1000 * MIB, 100 * MIB), (64 * MIB, LEAST)],
)
def test_the_usual_limit(size, limit):
    assert usual_limit(size) == limit


def test_room_is_judged_with_a_margin(tmp_path):
    assert Room(99, 100).is_low
    assert not Room(100, 100).is_low
    assert not Room(120, 100).is_enough
    assert Room(125, 100).is_enough
    assert not look(tmp_path, 0).is_low
    assert look(tmp_path, None).limit == USUAL


def leads(client, member):
    """Whether the member leads after an attempt to have it so, which may come too soon."""
    with suppress(OperationalError):
        client.transfer(member.id)
    return client.leader() == member.address


def test_a_member_leaves_a_full_disk_and_returns(engine, tmp_path, eventually):
    free = look(tmp_path, 0).free
    with LocalCluster(3, launcher=engine.launcher, directory=tmp_path) as cluster:
        leader = cluster.members[cluster.leader_index()]
        others = [each for each in cluster.addresses if each != leader.address]
        short = type(leader)(
            leader.address,
            leader.data_dir,
            launcher=engine.launcher,
            min_free=free - 1024 * MIB,
        )
        leader.stop()
        cluster.members[leader.id - 1] = short
        short.start()
        with Client(others) as client:
            eventually(lambda: client.health().is_healthy)
            eventually(lambda: leads(client, short))
            with (tmp_path / "filler").open("wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, 2048 * MIB)
            eventually(lambda: short.status == "no space")
            assert client.leader() in others
            assert short.is_running
            (tmp_path / "filler").unlink()
            eventually(lambda: short.status == "serving")
            eventually(lambda: client.health().is_healthy)


def test_a_start_without_room_waits(node):
    member = node(min_free=2**60)
    member.start()
    assert member.status == "no space"
    with pytest.raises(ClusterJoinError):
        member.wait_ready(0.1)
    member.stop()


# --- crashes --------------------------------------------------------------------------------------


def test_restarts_are_bounded_and_forgotten():
    restarts = Restarts(2, window=60.0)
    assert restarts.delay(0.0) == pytest.approx(0.1)
    assert restarts.delay(10.0) == pytest.approx(0.4)
    assert restarts.delay(20.0) is None
    assert restarts.delay(61.0) == pytest.approx(0.4)
    assert Restarts(0).delay(0.0) is None


def test_a_crash_is_answered_by_a_new_start(node, eventually):
    member = node()
    member.start()
    for _ in range(2):
        lost = member.pid
        os.kill(lost, signal.SIGABRT)
        eventually(lambda lost=lost: member.is_running and member.pid != lost)
        assert member.crash.signal == signal.SIGABRT
    with Client(member.address) as client:
        assert client.leader() == member.address
    member.stop()


def test_too_many_crashes_are_not_answered(node, eventually):
    member = node(restart=1)
    member.start()
    first = member.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: member.is_running and member.pid != first)
    os.kill(member.pid, signal.SIGKILL)
    eventually(lambda: not member.is_running)
    with pytest.raises(NodeCrashed):
        member.stop()


def test_a_stop_wins_over_a_restart(node, eventually):
    member = node()
    member.start()
    os.kill(member.pid, signal.SIGKILL)
    eventually(lambda: member.crash is not None)
    with pytest.raises(NodeCrashed):
        member.stop()
    member.start()
    member.stop()
    assert not member.is_running
