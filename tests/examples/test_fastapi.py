"""examples/fastapi as three machines on loopback, of which one dies while clients write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import yaml

from dqlite_dbapi import Client, Role
from dqlite_node.local import reserve_port
from tests.support.components import need

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fastapi"
BOOK = {"title": "Faust", "author": "Goethe"}
WRITERS = 4


class Instance:
    """One machine: the service in a process, and its member in another."""

    def __init__(self, number, ports, directory):
        members = [f"127.0.0.1:{port}" for port, _ in ports]
        self.url = f"http://127.0.0.1:{ports[number][1]}"
        self.member = members[number]
        self._command = [sys.executable, "-m", "uvicorn", "service:app", "--app-dir", str(EXAMPLE)]
        self._command += ["--port", str(ports[number][1]), "--log-level", "warning"]
        self._environment = {
            **os.environ,
            "DATA_DIR": str(directory / f"data{number}"),
            "ADDRESS": self.member,
            "CLUSTER": ",".join(members),
        }

    def start(self):
        self._process = subprocess.Popen(self._command, env=self._environment)

    def die(self):
        """Lose power: the service and its member end at the same moment."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in task.read_text().split()]
        assert children
        for pid in (self._process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def close(self):
        """Stop in order."""
        self._process.terminate()
        self._process.wait(30)


class Clients:
    """Threads that add books through whichever instance they like, until the block ends."""

    def __init__(self, http, living):
        self.statuses = Counter()
        self.added = []
        self.broken = []
        self._http = http
        self._living = living
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(WRITERS)]

    def _run(self, writer):
        number = 0
        fresh = self._http.Limits(max_keepalive_connections=0)  # servers close idle ones
        with self._http.Client(timeout=60, limits=fresh) as client:
            while not self._stop.is_set():
                isbn = f"{writer}-{number:05}"
                if self._add(client, isbn):
                    self.added.append(isbn)
                    number += 1

    def _add(self, client, isbn):
        """Ask one instance; False if its machine died on us, so that another must be asked."""
        instance = random.choice(self._living)
        try:
            status = client.put(f"{instance.url}/books/{isbn}", json=BOOK).status_code
        except self._http.TransportError as error:
            if instance in self._living:
                self.broken.append((instance.url, error))
            return False
        self.statuses[status] += 1
        return status == 204

    def more(self, count, seconds=60):
        """Wait until so many more books are there."""
        goal, deadline = len(self.added) + count, time.monotonic() + seconds
        while len(self.added) < goal:
            assert time.monotonic() < deadline, self.statuses
            time.sleep(0.02)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def http():
    need("uvicorn", "'uvicorn>=0.34'")
    return need("httpx2", "'httpx2>=2.14'")


@pytest.fixture
def instances(http, tmp_path):
    with ExitStack() as stack:
        held = [[stack.enter_context(reserve_port()) for _ in range(2)] for _ in range(3)]
        ports = [[each.getsockname()[1] for each in pair] for pair in held]
        three = [Instance(number, ports, tmp_path) for number in range(3)]
        for instance in three:
            instance.start()
            stack.callback(instance.close)
        for instance in three:
            wait_for_roles(http, instance, three)
        yield three


def wait_for_roles(http, instance, members, seconds=60):
    """Wait until an instance answers, and sees each member as a voter."""
    expected = {each.member: "voter" for each in members}
    deadline = time.monotonic() + seconds
    while True:
        with suppress(http.TransportError):
            if (seen := http.get(f"{instance.url}/members").json()) == expected:
                return
            assert time.monotonic() < deadline, seen
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.1)


def leader(instances):
    with Client([each.member for each in instances]) as client:
        address = client.leader()
    return next(each for each in instances if each.member == address)


@pytest.mark.timeout(300)
def test_a_machine_dies_and_comes_back(http, instances):
    living = list(instances)
    with Clients(http, living) as clients:
        clients.more(40)
        lost = leader(instances)
        living.remove(lost)
        lost.die()
        clients.more(40)
        lost.start()
        wait_for_roles(http, lost, instances)
        living.append(lost)
        clients.more(40)
        second = leader(instances)
        living.remove(second)
        second.die()
        clients.more(40)
    assert set(clients.statuses) == {204}
    assert clients.broken == []
    for instance in living:
        assert http.get(f"{instance.url}/books").json() == sorted(clients.added)
        assert http.get(f"{instance.url}/books/{clients.added[-1]}").json() == BOOK
        assert http.get(f"{instance.url}/books/none").status_code == 404
    with Client([each.member for each in living]) as client:
        assert {member.role for member in client.cluster()} == {Role.VOTER}


def test_the_compose_file_names_one_cluster():
    compose = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    services = list(compose["services"].values())
    listed = services[0]["environment"]["CLUSTER"].split(",")
    assert [each["environment"]["ADDRESS"] for each in services] == listed
    assert [f"{each['networks']['members']['ipv4_address']}:9001" for each in services] == listed
    assert {each["environment"]["CLUSTER"] for each in services} == {",".join(listed)}
    volumes = [each["volumes"][0].removesuffix(":/data") for each in services]
    assert volumes == list(compose["volumes"])
