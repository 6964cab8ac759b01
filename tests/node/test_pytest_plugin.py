"""The pytest plugin, used outside of this repository as its users do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "test-with-pytest.md"
EVERY_FIXTURE = """
import sqlalchemy as sa


def test_a_node(dqlite_node):
    assert dqlite_node.is_running
    dqlite_node.kill()


def test_it_is_healed(dqlite_node):
    assert dqlite_node.is_running


def test_engine(dqlite_engine, dqlite_cluster):
    dqlite_cluster.kill(dqlite_cluster.leader_index())
    with dqlite_engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_async_engine(dqlite_async_engine):
    import asyncio

    async def ask():
        async with dqlite_async_engine.connect() as connection:
            return await connection.scalar(sa.text("SELECT count(*) FROM sqlite_master"))

    assert asyncio.run(ask()) == 0
"""
PORTS = """
import os


def test_ports(dqlite_session_cluster):
    with open(f"ports-{os.environ['PYTEST_XDIST_WORKER']}", "w") as file:
        file.write("\\n".join(dqlite_session_cluster.addresses))
"""


@pytest.fixture
def outside(tmp_path):
    """Run pytest in a folder of its own, with warnings as errors."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")

    def run(text, *words):
        (tmp_path / "test_it.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )

    return run


def test_the_failover_test_of_the_page(outside):
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert block is not None
    assert len([line for line in block[1].splitlines() if line]) <= 10
    done = outside(block[1])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_fixture(outside):
    done = outside(EVERY_FIXTURE, "-p", "no:randomly")
    assert done.returncode == 0, done.stdout + done.stderr


def test_workers_have_members_of_their_own(outside, tmp_path):
    done = outside(PORTS, "--dist", "each", "--tx", "2*popen")
    assert done.returncode == 0, done.stdout + done.stderr
    ports = [path.read_text().splitlines() for path in tmp_path.glob("ports-*")]
    assert [len(each) for each in ports] == [3, 3]
    assert len({port for each in ports for port in each}) == 6


def test_options_of_the_members(outside, tmp_path):
    conftest = (
        "import pytest\n@pytest.fixture(scope='session')\ndef dqlite_options(): return {'n': 1}"
    )
    (tmp_path / "conftest.py").write_text(conftest)
    text = "def test_one(dqlite_cluster): assert len(dqlite_cluster.members) == 1"
    done = outside(text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_session_without_it_loads_nothing(outside):
    text = (
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('dqlite')\n"
        "    heavy = {'dqlite_dbapi', 'dqlite_node.node', 'sqlalchemy', 'cffi', 'click'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    done = outside(text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_members_are_healed(dqlite_session_cluster):
    cluster = dqlite_session_cluster
    cluster.pause((cluster.leader_index() + 1) % 3)
    cluster.kill(cluster.leader_index())
    cluster.heal()
    assert all(member.is_running for member in cluster.members)
    assert cluster.wait_leader() in cluster.addresses
