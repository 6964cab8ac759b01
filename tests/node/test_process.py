from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dqlite_node import NodeCrashed, NodeStartError

OWNER = """
import os, sys, time
from dqlite_node import Client, Node
node = Node(sys.argv[1], sys.argv[2], 1, in_process="in_process" in sys.argv)
node.start()
print(node.pid, flush=True)
if "pause" in sys.argv:
    node.pause()
if "wait" in sys.argv:
    time.sleep(60)
if "fork" in sys.argv:
    if not os.fork():
        node.close()
        sys.exit()
    assert os.wait()[1] == 0
    assert Client(sys.argv[1], timeout=5).leader() == sys.argv[1]
"""


def is_process(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def own(port, tmp_path):
    """Start a process that owns a member; gives the process and the member's pid."""
    owners = []

    def start(*words):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, f"127.0.0.1:{port}", tmp_path / "member", *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        owners.append(owner)
        return owner, int(owner.stdout.readline())

    yield start
    for owner in owners:
        owner.kill()
        owner.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_dies_leaves_no_child(own, eventually, number):
    owner, child = own("wait")
    assert is_process(child)
    owner.send_signal(number)
    owner.wait()
    eventually(lambda: not is_process(child), seconds=5)


@pytest.mark.parametrize("words", [[], ["pause"]])
def test_a_parent_that_forgets_to_close_leaves_no_child(own, eventually, words):
    owner, child = own(*words)
    assert owner.wait() == 0
    eventually(lambda: not is_process(child), seconds=5)


@pytest.mark.parametrize("words", [[], ["fork"]])
def test_a_process_that_hosts_its_member_exits_in_order(own, words):
    owner, host = own("in_process", *words)
    assert host == owner.pid
    assert owner.wait(timeout=20) == 0


def test_processes_do_not_share_a_directory(own, make_node):
    own("wait")
    with pytest.raises(NodeStartError):
        make_node("127.0.0.1:1").start()


def test_ctrl_c_does_not_reach_the_child(make_node):
    with make_node() as node:
        assert os.getsid(node.pid) == node.pid


def test_sigterm_stops_the_member_in_order(make_node, eventually):
    node = make_node()
    node.start()
    os.kill(node.pid, signal.SIGTERM)
    eventually(lambda: not node.is_running)
    assert node.crash.exitcode == 0
    node.start()


def test_standard_error_is_logged_and_kept(make_node, caplog):
    caplog.set_level(logging.INFO, "dqlite_node")
    script = "echo first >&2; echo '<40>second' >&2; exit 3; #"
    node = make_node(launcher=["sh", "-c", script])
    with pytest.raises(NodeCrashed) as caught:
        node.start()
    assert caught.value.exitcode == 3
    assert caught.value.last_lines == ("first", "second")
    levels = [record.levelno for record in caplog.records if record.levelno != logging.WARNING]
    assert levels[:2] == [logging.INFO, logging.ERROR]
    assert not node.is_running


def test_a_start_that_takes_too_long(make_node):
    node = make_node(launcher=["sh", "-c", "exec sleep 30"], start_timeout=0.3)
    with pytest.raises(NodeStartError):
        node.start()
    assert not node.is_running


def test_a_launcher_that_is_not_there(make_node):
    node = make_node(launcher=["/no/such/loader"])
    with pytest.raises(NodeStartError):
        node.start()
