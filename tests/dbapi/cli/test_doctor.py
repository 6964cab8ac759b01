"""`dqlite-py doctor` and `bench`: what they tell of a cluster and a directory."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import pytest

import dqlite_dbapi
from dqlite_dbapi.cli import outcome
from dqlite_node import engine_version


def advice(done):
    return done.stdout.partition("## Advice")[2]


def test_it_tells_versions_and_the_cluster(run, url, cluster):
    directory = cluster.members[0].data_dir
    done = run("doctor", url, "--data-dir", directory, "--timeout", 10)
    assert dqlite_dbapi.__version__ in done.stdout
    assert engine_version() in done.stdout
    assert cluster.wait_leader() in done.stdout
    assert "- port:" in done.stdout
    assert done.exit_code == (outcome.DONE if "- none" in advice(done) else outcome.FAILED)


def test_it_tells_no_secret(run, url):
    secret = "correct-horse"
    done = run("doctor", f"{url}?tls_key_password={secret}&slow_query=3", "--timeout", 10)
    assert "tls_key_password" in done.stdout
    assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize("size", ["one", "lost"])
def test_quorum_advice(run, size, single, dqlite_cluster):
    if size == "one":
        done = run("doctor", single.addresses[0], "--timeout", 10)
        assert "- quorum:" in advice(done)
        return
    follower = (dqlite_cluster.leader_index() + 1) % 3
    dqlite_cluster.kill(follower)
    done = run("doctor", ",".join(dqlite_cluster.addresses), "--timeout", 3)
    assert dqlite_cluster.addresses[follower] in advice(done)
    assert done.exit_code == outcome.FAILED


@pytest.mark.parametrize("state", ["missing", "empty", "unreadable", "open to others"])
def test_advice_on_a_directory(run, tmp_path, state):
    directory = tmp_path / "member"
    if state != "missing":
        directory.mkdir(mode=0o700)
    if state == "unreadable":
        (directory / "info.yaml").write_text("][")
    if state == "open to others":
        directory.chmod(0o755)
    done = run("doctor", "--data-dir", directory)
    named = [line for line in advice(done).splitlines() if "directory" in line or "mode" in line
             or "content" in line]  # fmt: skip
    assert len(named) == (state != "empty")


def test_a_wrong_host_name_is_told(run):
    done = run("doctor", "nowhere.invalid:9001", "--timeout", 1)
    assert done.exit_code == outcome.FAILED
    assert "nowhere.invalid:9001" in advice(done)


def test_bench_leaves_nothing_behind(run, url):
    done = run("bench", url, "--count", 5, "--connections", 2)
    assert done.exit_code == outcome.DONE
    assert done.stdout.count("SELECT 1") == 2
    with closing(dqlite_dbapi.connect(url)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_without_the_extra_it_says_what_to_install():
    code = "import sys; sys.modules['click'] = None\nfrom dqlite_dbapi.__main__ import main; main()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == outcome.FAILED
    assert "dqlite-python[cli]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
