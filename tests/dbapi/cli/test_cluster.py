"""`dqlite-py cluster`: status for people and monitoring, and changes of membership."""

from __future__ import annotations

import json
import threading
import time

import pytest

from dqlite_dbapi import Client
from dqlite_dbapi.cli import outcome
from dqlite_dbapi.cli.status import DEGRADED, DOWN, HEALTHY


@pytest.fixture
def url(dqlite_url):
    return dqlite_url


@pytest.fixture
def work(run):
    """Run a command that must succeed, `within` some seconds."""

    def succeed(*words, within=0.0):
        deadline = time.monotonic() + within
        while (done := run(*words)).exit_code != outcome.DONE and time.monotonic() < deadline:
            time.sleep(0.1)
        assert done.exit_code == outcome.DONE, done.stderr

    return succeed


def states(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_status_of_a_healthy_cluster(run, url, dqlite_cluster):
    done = run("cluster", "status", url, "--json", "--read", "--timeout", 10)
    (state,) = states(done)
    assert done.exit_code == HEALTHY
    assert (state["state"], state["voters"], state["quorum"]) == ("healthy", 3, 2)
    assert {member["address"] for member in state["members"]} == set(dqlite_cluster.addresses)
    assert sum(member["leader"] for member in state["members"]) == 1
    assert all(member["round_trip_ms"] > 0 for member in state["members"])


def test_status_for_people(run, url, dqlite_cluster):
    done = run("cluster", "status", url, "--timeout", 10)
    assert done.exit_code == HEALTHY
    for address in dqlite_cluster.addresses:
        assert address in done.stdout
    assert "round trip" in done.stdout


def test_status_while_members_die_and_return(run, url, dqlite_cluster):
    leader = dqlite_cluster.leader_index()
    first, second = (number for number in range(3) if number != leader)
    dqlite_cluster.kill(first)
    assert run("cluster", "status", url, "--timeout", 3).exit_code == DEGRADED
    dqlite_cluster.kill(second)
    assert run("cluster", "status", url, "--timeout", 3).exit_code == DOWN
    dqlite_cluster.heal()
    dqlite_cluster.wait_leader()
    assert run("cluster", "status", url, "--timeout", 10).exit_code == HEALTHY


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_watch_ends_with_the_last_state(run, url, flags):
    done = run("cluster", "status", url, "--watch", "--count", 3, "--interval", 0.05, *flags)
    assert done.exit_code == HEALTHY
    assert done.stdout.count('"voters":' if flags else "round trip") == 3


def test_watch_tells_changes(run, url, dqlite_cluster):
    follower = (dqlite_cluster.leader_index() + 1) % 3
    threading.Timer(1.0, dqlite_cluster.kill, [follower]).start()
    done = run("cluster", "status", url, "--watch", "--count", 6, "--interval", 0.5)
    assert done.exit_code == DEGRADED
    assert "unreachable" in done.stdout


def test_roles_weights_and_leadership(work, url, dqlite_cluster):
    follower = dqlite_cluster.members[(dqlite_cluster.leader_index() + 1) % 3]
    work("cluster", "weight", url, follower.address, 7)
    patience = 10  # members that the test before has started together take over half a second later
    work("cluster", "transfer", url, follower.id, within=patience)
    with Client(dqlite_cluster.addresses) as client:
        assert client.describe(follower.address).weight == 7
        work("cluster", "weight", url, follower.address, 0)  # the members outlive this test
        assert client.leader() == follower.address
        work("cluster", "assign", url, follower.address, "spare", within=patience)
        assert {each.id: each.role for each in client.cluster()}[follower.id] == 2
        assert client.leader() != follower.address


def test_a_member_leaves_and_comes_back(work, url, dqlite_cluster):
    follower = dqlite_cluster.members[(dqlite_cluster.leader_index() + 1) % 3]
    work("cluster", "remove", url, follower.id)
    with Client(dqlite_cluster.addresses) as client:
        assert follower.id not in [each.id for each in client.cluster()]
        words = ("cluster", "add", url, follower.id, follower.address, "--role", "standby")
        work(*words)
        assert {each.id: each.role for each in client.cluster()}[follower.id] == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("remove", "99"), outcome.FAILED),
        (("assign", "1", "boss"), outcome.USAGE),
        (("weight", "1", "heavy"), outcome.USAGE),
        (("add", "1", "127.0.0.1:1"), outcome.UNAVAILABLE),
    ],
)
def test_what_is_refused(run, url, words, status):
    command, *rest = words
    started = time.monotonic()
    done = run("cluster", command, url, *rest)
    assert done.exit_code == status
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - started < 30
