"""The leader is killed or frozen under writers: nothing lost, nothing twice, no error."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from dqlite_dbapi.protocol import token
from dqlite_node import LocalCluster
from tests.faults.ledger import Ledger

KILLS = 20
FREEZES = 10
WRITERS = 8


@pytest.fixture
def lost_answers(monkeypatch):
    """Counts what became of the COMMITs without an answer."""
    count, settle = Counter(), token.settle

    def counting(*args):
        was_applied = yield from settle(*args)
        count[was_applied] += 1
        return was_applied

    monkeypatch.setattr(token, "settle", counting)
    return count


@pytest.fixture
def report(capsys, lost_answers):
    """Prints the figures of a run and fails if anything was lost, doubled or raised."""

    def print_and_check(title, ledger, moments):
        lost, doubled = ledger.verdict()
        with capsys.disabled():
            print(
                f"\n{title}: {ledger.report(moments)}\n"
                f"  answers to COMMIT that were lost: {lost_answers[True]} had been applied,"
                f" {lost_answers[False]} had not"
            )
        assert (lost, doubled, ledger.errors) == ([], [], [])

    return print_and_check


@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", ["sync", "aio"])
def test_the_leader_is_killed_under_writers(driver, engine, database, report):
    with LocalCluster(3, launcher=engine.launcher, restart=3) as cluster:
        ledger = Ledger(cluster.addresses, database, WRITERS)
        ledger.start(driver)
        kills = []
        try:
            for _ in range(KILLS):
                ledger.wait_for_more(100)
                leader = cluster.leader_index()
                kills.append(time.monotonic())
                cluster.kill(leader)
                ledger.wait_for_more(100)
                cluster.restart(leader)
        finally:
            ledger.join()
        report(
            f"{engine.name}, {driver}: leader killed {KILLS} times under {WRITERS} writers",
            ledger,
            kills,
        )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", ["sync", "aio"])
def test_the_leader_is_frozen_and_thaws_with_commits_in_its_sockets(
    driver, engine, database, report
):
    with LocalCluster(3, launcher=engine.launcher, restart=3) as cluster:
        ledger = Ledger(cluster.addresses, database, WRITERS, timeout=1.0)
        ledger.start(driver)
        moments = []
        try:
            for _ in range(FREEZES):
                ledger.wait_for_more(100)
                leader = cluster.leader_index()
                moments.append(time.monotonic())
                cluster.pause(leader)
                ledger.wait_for_more(100)
                cluster.resume(leader)
        finally:
            ledger.join()
        report(
            f"{engine.name}, {driver}: leader frozen {FREEZES} times under {WRITERS} writers",
            ledger,
            moments,
        )


@pytest.mark.timeout(900)
def test_a_driver_that_just_repeats_is_caught(engine, database, monkeypatch, capsys):
    """The same trial finds fault with a run that takes a lost answer for a lost COMMIT."""

    def no_fence(*_):
        yield from ()
        return False

    monkeypatch.setattr(token, "settle", no_fence)
    with LocalCluster(3, launcher=engine.launcher) as cluster:
        ledger = Ledger(cluster.addresses, database, WRITERS)
        ledger.start("sync")
        kills, doubled = 0, []
        try:
            while not doubled and kills < KILLS:
                kills += 1
                ledger.wait_for_more(100)
                leader = cluster.leader_index()
                cluster.kill(leader)
                ledger.wait_for_more(100)
                cluster.restart(leader)
                _, doubled = ledger.verdict()
        finally:
            ledger.join()
    with capsys.disabled():
        print(f"\nwithout a fence: {len(doubled)} rows duplicated by kill number {kills}")
    assert doubled
