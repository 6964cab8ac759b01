"""Debian's go-dqlite and ours in one cluster: its shell, its demo, and a shared directory."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from dqlite_dbapi import Role
from dqlite_node.local import reserve_port
from tests.support.hosts import Hosts, read, write

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def go():
    """Path of a program of the package."""

    def find(name):
        path = shutil.which(name)
        if path is None:
            pytest.fail(f"{name} is missing: apt-get install go-dqlite", pytrace=False)
        return path

    return find


@pytest.fixture
def shell(go):
    """Run one line in go-dqlite's shell, at the database `library`."""

    def run(servers, line, *flags):
        command = [go("dqlite"), "-s", servers, *flags, "library", line]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


class Demo:
    """A member hosted by `dqlite-demo`, which keeps keys and values over HTTP."""

    def __init__(self, program, directory, stack):
        self._program = program
        self._directory = directory
        held = [stack.enter_context(reserve_port()) for _ in range(2)]
        self.address, self._api = (f"127.0.0.1:{each.getsockname()[1]}" for each in held)
        self.data_dir = directory / self.address
        self._process = None
        stack.callback(self.kill)

    def start(self, *join):
        command = [self._program, "-a", self._api, "-d", self.address, "-D", self._directory]
        if join:
            command += ["-j", ",".join(join)]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + 20
        while self._try_get("nothing") is None:
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.1)

    def put(self, key, value):
        assert self._ask("PUT", key, value.encode()) == "done"

    def get(self, key):
        return self._ask("GET", key)

    def _ask(self, method, key, body=None):
        with closing(HTTPConnection(self._api, timeout=20)) as connection:
            connection.request(method, f"/{key}", body)
            return connection.getresponse().read().decode().strip()

    def _try_get(self, key):
        try:
            return self.get(key)
        except OSError:
            return None

    def stop(self):
        """End it in order: it hands over."""
        self._process.terminate()
        assert self._process.wait(20) == 0

    def kill(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def scene(go, tmp_path, engine):
    """Hosts of ours and demo members, all closed when the test ends."""
    with ExitStack() as stack:

        def make(ours, demos):
            hosts = Hosts(ours, tmp_path, engine, stack)
            theirs = [Demo(go("dqlite-demo"), tmp_path / "go", stack) for _ in range(demos)]
            return hosts, theirs

        yield make


def put(app, key, value):
    with closing(app.connect("demo", autocommit=True)) as connection:
        connection.execute("INSERT OR REPLACE INTO model VALUES (?, ?)", [key, value])


def get(app, key):
    with closing(app.connect("demo")) as connection:
        return connection.execute("SELECT value FROM model WHERE key = ?", [key]).fetchone()[0]


def wait_for_voters(app, n):
    deadline = time.monotonic() + 20
    with app.client() as client:
        while sum(member.role == Role.VOTER for member in client.cluster()) != n:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_go_shell_talks_to_our_cluster(scene, shell):
    ours, _ = scene(3, 0)
    apps = ours.start()
    write(apps[0], "from Python")
    servers = ",".join(ours.addresses)
    assert "from Python" in shell(servers, "SELECT title FROM book")
    shell(servers, "INSERT INTO book VALUES ('from Go')")
    assert read(apps[2]) == ["from Go", "from Python"]
    assert shell(servers, ".leader") == ours.addresses[ours.leader()]
    listed = json.loads(shell(servers, ".cluster", "-f", "json"))
    assert {(each["ID"], each["Address"]) for each in listed} == {
        (app.id, app.address) for app in apps
    }
    store = f"file://{apps[1].data_dir / 'cluster.yaml'}"
    assert "from Go" in shell(store, "SELECT title FROM book")


def test_a_go_member_joins_ours(scene):
    ours, (demo,) = scene(2, 1)
    apps = ours.start()
    demo.start(*ours.addresses)
    wait_for_voters(apps[0], 3)
    demo.put("go", "1")
    assert get(apps[1], "go") == "1"
    put(apps[1], "python", "2")
    assert demo.get("python") == "2"
    demo.stop()
    put(apps[0], "python", "3")
    demo.start()
    assert demo.get("python") == "3"


def test_our_members_join_a_go_cluster(scene):
    ours, (demo,) = scene(2, 1)
    demo.start()
    demo.put("go", "1")
    apps = ours.start(cluster=[demo.address, *ours.addresses])
    wait_for_voters(apps[0], 3)
    assert get(apps[1], "go") == "1"
    put(apps[0], "python", "2")
    assert demo.get("python") == "2"
    demo.kill()
    put(apps[0], "python", "3")
    demo.start()
    assert demo.get("python") == "3"


def test_a_directory_is_shared_in_turn(scene):
    ours, (demo,) = scene(1, 1)
    demo.start()
    demo.put("go", "1")
    demo.stop()
    ours.addresses[0], ours.directories[0] = demo.address, demo.data_dir
    (app,) = ours.start(cluster=[])
    assert get(app, "go") == "1"
    put(app, "python", "2")
    app.close()
    demo.start()
    assert demo.get("python") == "2"
