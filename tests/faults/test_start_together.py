"""All members start at once, in random order, with random delays: always one cluster, and soon."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack

import pytest

from dqlite_node import Client, Node
from dqlite_node.local import reserve_port
from tests.faults.ledger import figures

TRIALS = 50
LONGEST_DELAY = 0.5


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [3, 5])
def test_one_cluster_whatever_the_order(engine, tmp_path, capsys, count):
    seconds = [one_start(count, tmp_path / str(trial), engine) for trial in range(TRIALS)]
    with capsys.disabled():
        print(f"\n{engine.name}: {count} members at once: ready after {figures(seconds)}")
    assert max(seconds) < 5


def one_start(count, folder, engine):
    """Seconds from the last start to all members being voters of one cluster."""
    with ExitStack() as stack:
        ports = [stack.enter_context(reserve_port()).getsockname()[1] for _ in range(count)]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        nodes = [
            Node(each, folder / str(number), cluster=addresses, launcher=engine.launcher)
            for number, each in enumerate(addresses)
        ]
        for node in nodes:
            stack.callback(node.close, handover=False)
        threads = [threading.Thread(target=late_start, args=(node,)) for node in nodes]
        for thread in random.sample(threads, count):
            thread.start()
        for thread in threads:
            thread.join()
        started = time.monotonic()
        for node in nodes:
            node.wait_ready(60)
        ready = time.monotonic() - started
        check(nodes)
        return ready


def late_start(node):
    time.sleep(random.uniform(0, LONGEST_DELAY))
    node.start()


def check(nodes):
    """Every member follows the same leader and lists the same voters."""
    listed = {(node.id, node.address, 0) for node in nodes}
    leaders = set()
    for node in nodes:
        with Client(node.address) as client:
            leaders.add(client.leader())
            assert {member[:3] for member in client.cluster()} == listed
    assert len(leaders) == 1
