"""Members of a test's own."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from dqlite_node import Node
from dqlite_node.local import reserve_port
from tests.support.hosts import Hosts
from tests.support.machines import Machines


@pytest.fixture
def port():
    """A loopback port that is kept for this test."""
    with reserve_port() as reservation:
        yield reservation.getsockname()[1]


@pytest.fixture
def make_node(port, tmp_path):
    """Make nodes, by default bootstrapping ones on the test's port; closed when the test ends."""
    nodes = []

    def make(address=f"127.0.0.1:{port}", data_dir=tmp_path / "member", node_id=1, **options):
        nodes.append(Node(address, data_dir, node_id, **options))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def eventually():
    """Wait until a condition holds; fail after some seconds."""

    def wait(condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.02)

    return wait


@pytest.fixture
def hosts(tmp_path, engine):
    """Make hosts for applications; what runs there is closed when the test ends."""
    with ExitStack() as stack:
        yield lambda n: Hosts(n, tmp_path, engine, stack)


@pytest.fixture
def machines(engine, tmp_path):
    """Make `count` machines of the test's own."""
    with ExitStack() as stack:
        yield lambda count: Machines(count, tmp_path, engine, stack)
