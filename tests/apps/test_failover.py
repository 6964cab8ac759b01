"""A web application under load loses its leader twice; `pytest -rP` prints the figures."""

from __future__ import annotations

import importlib
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise

import pytest

import dqlite_dbapi
from dqlite_node import LocalCluster
from dqlite_node.pytest_plugin import url_of
from tests.support.components import need

CLIENTS = 6
KILLS = 2
SECONDS = 60


@pytest.fixture(scope="module")
def members(engine):
    with LocalCluster(3, launcher=engine.launcher) as members:
        yield members


@pytest.fixture(params=["dqlite", "sqlite+aiodqlite"])
def client(request, members, database):
    need("httpx2", "'httpx2>=2.14'")
    need("fastapi", "'fastapi>=0.162'")
    testing = importlib.import_module("fastapi.testclient")
    orders = importlib.import_module("tests.apps.programs.orders")
    app = orders.create_app(url_of(members.addresses, database, request.param))
    with testing.TestClient(app) as client:
        yield client


class Load:
    """Clients, each of which orders and counts its orders until `stop` is set."""

    def __init__(self, client):
        self.client = client
        self.stop = threading.Event()
        self.statuses = Counter()
        self.errors = []
        self.wrong = []
        self.added = []
        self.threads = [threading.Thread(target=self._order, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _order(self, client):
        number = 0
        while not self.stop.is_set():
            number += 1
            self._ask("POST", "/orders", json={"client": client, "number": number})
            self.added.append((time.monotonic(), (client, number)))
            counted = self._ask("GET", f"/orders/{client}")
            if counted != str(number):
                self.wrong.append((client, number, counted))

    def _ask(self, method, path, **options):
        """The text of an answer; the client raises what the application did not handle."""
        try:
            answer = self.client.request(method, path, **options)
        except Exception as error:
            self.errors.append(error)
            self.statuses[500] += 1
            return ""
        self.statuses[answer.status_code] += 1
        return answer.text

    def wait_for_more(self, count):
        goal, give_up = len(self.added) + count, time.monotonic() + SECONDS
        while len(self.added) < goal:
            assert time.monotonic() < give_up, self.statuses
            time.sleep(0.01)

    def longest_pauses(self):
        """Seconds between two answers of all clients together, longest first."""
        moments = sorted(moment for moment, _ in self.added)
        return sorted((later - sooner for sooner, later in pairwise(moments)), reverse=True)


def kill_leader(members):
    """Kill the leader under load, and bring it back as a voter when another one leads."""
    index = members.leader_index(SECONDS)
    members.kill(index)
    yield
    members.restart(index)
    give_up = time.monotonic() + SECONDS
    with dqlite_dbapi.Client(members.addresses) as client:
        while client.health(timeout=5).voters_reachable < len(members.members):
            assert time.monotonic() < give_up
            time.sleep(0.1)


def test_every_request_is_answered_and_applied_once(client, members, database):
    with Load(client) as load:
        load.wait_for_more(50)
        for _ in range(KILLS):
            killing = kill_leader(members)
            next(killing)
            load.wait_for_more(100)
            next(killing, None)
            load.wait_for_more(50)
    with closing(dqlite_dbapi.connect(members.addresses, database)) as connection:
        stored = Counter(connection.execute("SELECT client, number FROM orders").fetchall())
        accounts = dict(connection.execute("SELECT client, orders FROM accounts").fetchall())
    acknowledged = {row for _, row in load.added}
    lost = acknowledged - stored.keys()
    doubled = [row for row, times in stored.items() if times > 1]
    pauses = ", ".join(f"{pause:.2f}" for pause in load.longest_pauses()[:KILLS])
    retries = ", ".join(f"{n} x {name}" for name, n in client.app.state.retries.items())
    print(f"{sum(load.statuses.values())} requests, {KILLS} leaders killed: {len(lost)} lost,")
    print(f"{len(doubled)} doubled; longest pauses {pauses} s; run again: {retries or 'none'}")
    assert load.errors == []
    assert set(load.statuses) == {200, 201}
    assert (lost, doubled, load.wrong) == (set(), [], [])
    assert stored.keys() == acknowledged
    assert accounts == Counter(client for client, _ in stored)
