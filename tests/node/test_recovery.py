"""`python -m dqlite_node recover`, and the procedures of docs/how-to/recovery.md."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from dqlite_node import Node
from tests.support.hosts import read, write


@pytest.fixture
def recover(engine):
    """Run the command on the engine under test."""

    def call(*arguments, engine=engine):
        command = [*engine.launcher, sys.executable, "-m", "dqlite_node", "recover"]
        return subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def lost(hosts):
    """Three hosts, all stopped; the last missed a write."""
    three = hosts(3)
    three.start()
    write(three.apps[0], "early")
    three.apps[2].close(0)
    write(three.apps[1], "late")
    for app in three.apps[:2]:
        app.close(0)
    return three


def backups(directory):
    return sorted(directory.parent.glob(f"{directory.name}.backup-*"))


def test_a_sole_survivor_goes_on_and_others_join_it(lost, recover):
    """Two machines burnt down: the third has an older copy, which is all there is."""
    for number in (0, 1):
        shutil.rmtree(lost.directories[number])
    done = recover(lost.directories[2])
    assert done.returncode == 0, done.stderr
    assert lost.addresses[0] in done.stdout
    survivor = lost.start([2], cluster=[])[0]
    assert read(survivor) == ["early"]
    write(survivor, "after")
    lost.start([0, 1], cluster=[lost.addresses[2], *lost.addresses[:2]])
    assert lost.roles() == [0, 0, 0]
    assert read(lost.apps[0]) == ["after", "early"]
    assert len(backups(lost.directories[2])) == 1


@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
def test_the_newest_of_several_goes_on(lost, recover, order):
    """Machine 0 burnt down with its vote; the engine knows the newer log, or has to be told."""
    directories = [lost.directories[number] for number in order]
    done = recover(*directories)
    if done.returncode:
        assert "--newest" in done.stderr
        assert all(directory.is_dir() for directory in directories)
        assert not any(map(backups, directories))
        done = recover(*directories, "--newest", lost.directories[1])
    assert done.returncode == 0, done.stderr
    assert not lost.directories[2].exists()
    assert len(backups(lost.directories[2])) == 1
    survivor = lost.start([1], cluster=[])[0]
    assert read(survivor) == ["early", "late"]
    lost.start([2], cluster=[lost.addresses[1]])
    assert read(lost.apps[2]) == ["early", "late"]


def test_a_backup_is_what_was_there(lost, recover):
    before = {path.name: path.read_bytes() for path in lost.directories[1].iterdir()}
    assert recover(lost.directories[1]).returncode == 0
    (backup,) = backups(lost.directories[1])
    assert {path.name: path.read_bytes() for path in backup.iterdir()} == before


def test_a_rehearsal_changes_nothing(lost, recover):
    def content():
        return {
            str(path): path.read_bytes()
            for directory in lost.directories
            for path in directory.iterdir()
        }

    before = content()
    done = recover(
        "--dry-run", *lost.directories, "--newest", lost.directories[0], "--address", "host:9"
    )
    assert done.returncode == 0, done.stderr
    assert "host:9" in done.stdout
    assert content() == before
    assert not any(map(backups, lost.directories))


@pytest.mark.parametrize("running", [0, 2])
def test_it_is_refused_while_any_member_runs(lost, recover, running):
    """Whether its directory is given or only its address known."""
    lost.make(running).start()
    done = recover(lost.directories[0], "--newest", lost.directories[0])
    assert done.returncode == 1
    assert not any(map(backups, lost.directories))


def test_an_address_that_is_somebody_elses_now(lost, recover, tmp_path):
    with Node(lost.addresses[1], tmp_path / "else", 1):
        assert recover(lost.directories[0]).returncode == 1
        assert recover(lost.directories[0], "--gone", lost.addresses[1]).returncode == 0


def test_another_address(lost, recover, hosts):
    """All machines have moved: the newest goes on at its new address and the others join."""
    done = recover(lost.directories[1], "--address", (new := hosts(3)).addresses[0])
    assert done.returncode == 0, done.stderr
    new.directories[0] = lost.directories[1]
    new.directories[1:] = [path.with_name(f"new-{path.name}") for path in new.directories[1:]]
    new.start()
    assert new.roles() == [0, 0, 0]
    assert read(new.apps[2]) == ["early", "late"]


def test_one_member_moves(hosts):
    """The cluster has its majority: the member is removed and joins anew elsewhere."""
    four = hosts(4)
    four.start([0, 1, 2], cluster=four.addresses[:3])
    write(four.apps[0], "kept")
    four.lose(2)
    with four.apps[0].client() as client:
        gone = next(each for each in client.cluster() if each.address == four.addresses[2])
        client.remove(gone.id)
    four.start([3], cluster=four.addresses[:2])
    assert four.roles() == [0, 0, None, 0]
    assert read(four.apps[3]) == ["kept"]


def test_what_is_no_members_directory(tmp_path, recover):
    (tmp_path / "empty").mkdir()
    for arguments in (
        [tmp_path / "empty"],
        [tmp_path / "missing"],
        [tmp_path / "empty", "--newest", tmp_path],
        [tmp_path / "empty", "--address", "0.0.0.0:1"],
    ):
        assert recover(*arguments).returncode == 1
    assert recover().returncode == 2
