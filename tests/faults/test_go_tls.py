"""Debian's go-dqlite shell at members of ours over TLS, with one certificate for all as it has."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dqlite_node import LocalCluster
from tests.support.certificates import shared_pair


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
