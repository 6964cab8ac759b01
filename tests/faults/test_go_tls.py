"""Debian's go-dqlite and members of ours over TLS, with one certificate for all as it has.

Its demo has no TLS: the members of its kind here are a small program on its `app` package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from dqlite_node import LocalCluster
from dqlite_node.local import reserve_port
from tests.support.certificates import shared_pair
from tests.support.hosts import Hosts, read, write

GOPATH = Path("/usr/share/gocode")  #: where Debian's Go libraries are
FLAGS = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "CGO_LDFLAGS_ALLOW": "-Wl,-z,now"}


@pytest.fixture(scope="session")
def go_member(tmp_path_factory):
    """Path of gomember.go's program."""
    library = GOPATH / "src/github.com/canonical/go-dqlite"
    if shutil.which("go") is None or not library.exists():
        packages = "golang-go golang-github-canonical-go-dqlite-dev libdqlite-dev"
        pytest.fail(f"Go is missing: apt-get install {packages}", pytrace=False)
    program = tmp_path_factory.mktemp("go") / "gomember"
    source = Path(__file__).with_name("gomember.go")
    command = ["go", "build", "-o", program, source]
    subprocess.run(command, check=True, env={**os.environ, **FLAGS})
    return program


class GoMember:
    """A member of go-dqlite's; its directory outlives it."""

    def __init__(self, program, directory, files, stack):
        held = stack.enter_context(reserve_port())
        self.address = f"127.0.0.1:{held.getsockname()[1]}"
        directory.mkdir()
        self._command = [program, directory, self.address, files.cert, files.key]
        self._process = None
        stack.callback(self.kill)

    def start(self, *join):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [*self._command, *join], stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
        assert self._line() == "ready"

    def run(self, statement):
        """What a query found, as texts with commas between, or `done`."""
        self._process.stdin.write(statement + "\n")
        return self._line()

    def _line(self):
        return self._process.stdout.readline().strip()

    def stop(self):
        """End it in order: it hands over."""
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._process.stdout.close()

    def kill(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def scene(go_member, tmp_path, engine):
    """Two hosts of ours and a member of theirs, with one pair; closed when the test ends."""
    files = shared_pair(tmp_path, "cluster.example", default_role="member")
    with ExitStack() as stack:
        yield (
            Hosts(2, tmp_path, engine, stack, tls=files),
            GoMember(go_member, tmp_path / "go", files, stack),
        )


@pytest.mark.timeout(120)
def test_a_go_member_joins_ours(scene):
    ours, theirs = scene
    apps = ours.start()
    write(apps[0], "from Python")
    theirs.start(*ours.addresses)
    assert theirs.run("SELECT title FROM book") == "from Python"
    assert theirs.run("INSERT INTO book VALUES ('from Go')") == "done"
    assert read(apps[1]) == ["from Go", "from Python"]
    theirs.stop()
    write(apps[0], "without Go")
    theirs.start()
    assert theirs.run("SELECT count(*) FROM book") == "3"


@pytest.mark.timeout(120)
def test_our_members_join_a_go_cluster(scene):
    ours, theirs = scene
    theirs.start()
    assert theirs.run("CREATE TABLE book (title)") == "done"
    assert theirs.run("INSERT INTO book VALUES ('from Go')") == "done"
    apps = ours.start(cluster=[theirs.address, *ours.addresses])
    write(apps[0], "from Python")
    assert theirs.run("SELECT title FROM book ORDER BY 1") == "from Go,from Python"
    theirs.kill()
    write(apps[1], "after a failover")
    theirs.start()
    assert theirs.run("SELECT count(*) FROM book") == "3"


@pytest.mark.timeout(120)
def test_the_go_shell_talks_to_our_gates(tmp_path, engine):
    program = shutil.which("dqlite")
    if program is None:
        pytest.fail("dqlite is missing: apt-get install go-dqlite", pytrace=False)
    files = shared_pair(tmp_path, "cluster.example", default_role="member")

    def run(line):
        pair = ["-c", files.cert, "-k", files.key]
        command = [program, "-s", ",".join(cluster.addresses), *pair, "library", line]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with LocalCluster(3, tls=files, launcher=engine.launcher) as cluster:
        run("CREATE TABLE book (title)")
        run("INSERT INTO book VALUES ('from Go')")
        cluster.members[2].open_db("library")
        assert cluster.members[2].query("SELECT title FROM book") == [{"title": "from Go"}]
        assert run(".leader").strip() == cluster.wait_leader()
        old = cluster.leader_index()
        cluster.kill(old)
        run("INSERT INTO book VALUES ('after a failover')")
        assert "after a failover" in run("SELECT title FROM book")
