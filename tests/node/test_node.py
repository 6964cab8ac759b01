from __future__ import annotations

import os
import pickle
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from dqlite_node import (
    Client,
    LocalCluster,
    Node,
    NodeAlreadyRunningError,
    NodeCrashed,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
)
from dqlite_node.states import TRANSITIONS, State

BOTH = pytest.mark.parametrize("in_process", [False, True], ids=["child", "in_process"])


def leads(node):
    with Client(node.address, timeout=5) as client:
        return client.leader() == node.address


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@BOTH
def test_a_started_node_is_a_cluster_of_its_own(make_node, in_process):
    node = make_node(in_process=in_process)
    assert not node.is_running
    assert node.pid is None
    with node:
        assert node.is_running
        assert (node.pid == os.getpid()) is in_process
        assert leads(node)
    assert not node.is_running


@BOTH
def test_stop_and_close_may_be_repeated_and_come_first(make_node, in_process):
    node = make_node(in_process=in_process)
    node.stop()
    node.start()
    node.stop()
    node.stop()
    node.start()
    assert leads(node)
    node.close()
    node.close()
    node.stop()
    with pytest.raises(NodeStartError):
        node.start()


@BOTH
def test_starting_twice(make_node, in_process):
    with make_node(in_process=in_process) as node:
        with pytest.raises(NodeAlreadyRunningError):
            node.start()
        with pytest.raises(NodeAlreadyRunningError):
            node.set_bind_address("127.0.0.1:1")
        assert leads(node)


def test_the_table_of_calls_is_complete():
    calls = {call for call, _ in TRANSITIONS}
    assert set(TRANSITIONS) == {(call, state) for call in calls for state in State}


@BOTH
def test_any_order_of_calls_from_any_thread(make_node, in_process):
    node = make_node(in_process=in_process)
    calls = [node.start, node.stop, node.start, node.stop, node.kill, node.pause, node.resume]
    deadline = time.monotonic() + 2

    def work(seed):
        choose = random.Random(seed)
        while time.monotonic() < deadline:
            try:
                choose.choice(calls)()
            except NodeError as error:
                errors.append(error)

    errors = []
    threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unexpected = [e for e in errors if isinstance(e, NodeCrashed | NodeStartError)]
    assert not unexpected
    node.stop()
    node.start()
    assert leads(node)


@pytest.mark.parametrize(("in_process", "times"), [(False, 8), (True, 50)])
def test_starts_and_stops_leak_no_descriptors(make_node, in_process, times):
    node = make_node(in_process=in_process)
    node.start()
    node.stop()
    before = descriptors()
    for _ in range(times):
        node.start()
        node.stop()
    assert descriptors() <= before


@BOTH
def test_identity_and_modes_in_the_directory(make_node, in_process, port, tmp_path):
    node = make_node(in_process=in_process, data_dir=tmp_path / "a" / "b")
    with node:
        info = node.data_dir / "info.yaml"
        assert yaml.safe_load(info.read_text()) == {
            "ID": 1, "Address": f"127.0.0.1:{port}", "Role": 0
        }  # fmt: skip
        assert stat.S_IMODE(info.stat().st_mode) == 0o600
        assert stat.S_IMODE(node.data_dir.stat().st_mode) == 0o700


@BOTH
def test_an_omitted_id_is_made_once_and_kept(make_node, in_process):
    with make_node(node_id=None, in_process=in_process) as first:
        pass
    again = make_node(node_id=None, in_process=in_process)
    assert again.id == first.id > 1
    with again:
        assert again.id == first.id


@BOTH
@pytest.mark.parametrize("change", [{"node_id": 7}, {"address": "localhost:9"}])
def test_another_identity_is_refused(make_node, in_process, change):
    with make_node():
        pass
    other = make_node(in_process=in_process, **change)
    with pytest.raises(NodeStartError) as caught:
        other.start()
    assert str(other.data_dir) in str(caught.value)
    assert not other.is_running


@BOTH
def test_data_without_identity_needs_an_id(make_node, in_process):
    with make_node() as node:
        pass
    (node.data_dir / "info.yaml").unlink()
    with pytest.raises(NodeStartError):
        make_node(node_id=None, in_process=in_process).start()
    with make_node(node_id=1, in_process=in_process) as adopted:
        assert leads(adopted)


@BOTH
def test_one_directory_per_member(make_node, in_process):
    with make_node() as node, socket.create_server(("127.0.0.1", 0)) as other:
        second = make_node(
            f"127.0.0.1:{other.getsockname()[1]}", node.data_dir, in_process=in_process
        )
        with pytest.raises(NodeStartError):
            second.start()
        assert leads(node)


@BOTH
def test_a_taken_port(make_node, in_process, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        node = make_node(address, in_process=in_process)
        with pytest.raises(NodeStartError) as caught:
            node.start()
    assert caught.value.address == address
    assert caught.value.hint
    with make_node(in_process=in_process):
        pass


@BOTH
def test_an_unusable_directory(make_node, in_process, tmp_path):
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(NodeStartError) as caught:
            make_node(data_dir=directory, in_process=in_process).start()
        assert str(directory) in str(caught.value)


@BOTH
def test_a_name_is_resolved_to_bind_it(make_node, in_process, port):
    with make_node(f"localhost:{port}", in_process=in_process) as node:
        assert node.bind_address == f"127.0.0.1:{port}"
        assert leads(node)


@BOTH
def test_bind_addresses(make_node, in_process, port):
    node = make_node(bind_address="no-such-host.invalid:1", in_process=in_process)
    with pytest.raises(NodeStartError):
        node.start()
    node.set_bind_address(f"0.0.0.0:{port}")
    with node:
        assert node.bind_address == f"0.0.0.0:{port}"
        assert leads(node)


@pytest.mark.parametrize(
    "options",
    [
        {"address": "0.0.0.0:9001"},
        {"address": "[::]:9001"},
        {"address": "127.0.0.1"},
        {"node_id": 0},
        {"node_id": -1},
        {"node_id": 2**64},
        {"network_latency_ms": 0},
        {"snapshot_params": (10, 3)},
        {"snapshot_params": (10, 9)},
        {"snapshot_strategy": "other", "snapshot_params": (10, 20)},
        {"snapshot_strategy": "static"},
        {"block_size": 1000},
        {"pool_threads": 0},
        {"busy_timeout_ms": -1},
        {"min_free": -1},
        {"dialer": "none"},
        {"cluster": "127.0.0.1:9001"},
        {"cluster": ["127.0.0.1"]},
    ],
)
def test_impossible_arguments(tmp_path, options):
    arguments = {"address": "127.0.0.1:9001", "data_dir": tmp_path, **options}
    with pytest.raises(NodeError):
        Node(**arguments)


def test_an_unknown_option(tmp_path):
    with pytest.raises(TypeError):
        Node("127.0.0.1:9001", tmp_path, no_such_option=1)


@BOTH
def test_a_damaged_directory_is_refused(make_node, in_process):
    with make_node() as node:
        pass
    (node.data_dir / "corrupt-0000000000000001-0000000000000002").touch()
    with pytest.raises(NodeStartError) as caught:
        make_node(in_process=in_process).start()
    assert "corrupt-0000000000000001-0000000000000002" in str(caught.value)


@BOTH
def test_a_damaged_segment_is_refused(make_node, in_process):
    options = {"in_process": in_process, "snapshot_params": (2, 4), "failure_domain": 3}
    with make_node(**options) as node, Client(node.address) as client:
        client.weight(node.address, 1)
        assert client.describe(node.address).failure_domain == 3
    segment = next(node.data_dir.glob("0000*-*"))
    data = bytearray(segment.read_bytes())
    data[40:60] = os.urandom(20)
    segment.write_bytes(data)
    with pytest.raises(NodeStartError) as caught:
        make_node(**options).start()
    assert segment.name in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_told_and_survived(make_node, eventually, number):
    node = make_node(restart=0)
    node.start()
    os.kill(node.pid, number)
    eventually(lambda: not node.is_running)
    assert node.crash.signal == number
    assert node.crash.exitcode is None
    assert pickle.loads(pickle.dumps(node.crash)).signal == number  # noqa: S301
    with pytest.raises(NodeNotRunningError):
        node.kill()
    with pytest.raises(NodeCrashed):
        node.stop()
    node.stop()
    node.start()
    assert node.crash is None
    os.kill(node.pid, number)
    eventually(lambda: not node.is_running)
    node.start()
    assert leads(node)


def test_kill_pause_and_resume(make_node):
    node = make_node()
    for call in (node.kill, node.pause, node.resume):
        with pytest.raises(NodeNotRunningError):
            call()
    node.start()
    node.pause()
    assert node.is_running
    node.resume()
    assert leads(node)
    node.kill()
    assert not node.is_running
    node.stop()
    node.start()
    assert leads(node)
    node.pause()
    node.stop()
    assert not node.is_running


def test_in_process_has_no_signals(make_node):
    with make_node(in_process=True) as node:
        for call in (node.kill, node.pause, node.resume):
            with pytest.raises(NodeError):
                call()
        assert leads(node)


@BOTH
def test_stop_while_the_callback_is_busy(tmp_path, in_process):
    """Two members of three are gone, so the last one dials all the time."""
    with LocalCluster(3, in_process=in_process, directory=tmp_path) as cluster:
        cluster.stop(0)
        cluster.stop(1)
        time.sleep(0.5)
        started = time.monotonic()
        cluster.stop(2)
        assert time.monotonic() - started < 5


def test_an_old_engine_is_warned_about_once(tmp_path):
    code = (
        "import logging, sys\n"
        "records = []\n"
        "class Keep(logging.Handler):\n"
        "    def emit(self, record): records.append(record)\n"
        "logging.getLogger('dqlite_node').addHandler(Keep(logging.WARNING))\n"
        "from dqlite_node import LocalCluster, engine_version, features\n"
        "for _ in range(2):\n"
        "    with LocalCluster(1): pass\n"
        "parts = tuple(map(int, engine_version().split('.')))\n"
        "old = not features()['version_string'] or parts < (1, 18, 6)\n"
        "sys.exit(len(records) != old)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path)
    assert done.returncode == 0
