"""`App`: whole clusters that come up, go down and change, each in directories of its own."""

from __future__ import annotations

import shutil
import stat
import time

import pytest
import yaml

from dqlite_dbapi import NoLeader, Role
from dqlite_node import (
    App,
    ClusterJoinError,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
)
from tests.support.hosts import read, write

VOTER, STANDBY, SPARE = Role


def test_all_at_once_make_one_cluster(hosts):
    three = hosts(3)
    apps = three.start()
    assert three.roles() == [VOTER] * 3
    assert len({app.id for app in apps}) == 3
    assert all(app.is_ready and app.node.is_running for app in apps)
    for number, app in enumerate(apps):
        write(app, f"book {number}")
    assert [read(app) for app in apps] == [["book 0", "book 1", "book 2"]] * 3


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_one_after_the_other(hosts, eventually, order):
    three = hosts(3)
    apps = [three.make(number) for number in order]
    for app in apps:
        app.start()
        time.sleep(0.3)
    for app in apps:
        app.ready(20)
    eventually(lambda: three.roles() == [VOTER] * 3)


def test_the_files_are_those_of_go_dqlite(hosts, eventually):
    three = hosts(3)
    three.start()
    members = [{"ID": app.id, "Address": app.address, "Role": 0} for app in three.apps]

    def content(path):
        return yaml.safe_load(path.read_text())

    def is_complete(app, me):
        listed = sorted(content(app.data_dir / "cluster.yaml"), key=str)
        return listed == sorted(members, key=str) and content(app.data_dir / "info.yaml") == me

    for app, me in zip(three.apps, members, strict=True):
        eventually(lambda app=app, me=me: is_complete(app, me))
        assert not (app.data_dir / "join").exists()
        files = [app.data_dir / name for name in ("cluster.yaml", "info.yaml")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert three.apps[0].id == 0x2DC171858C3155BE


def test_upkeep_goes_on_when_its_file_cannot_be_written(hosts, eventually):
    two = hosts(2)
    first = two.make(0)
    first.start()
    first.ready(20)
    members = first.data_dir / "cluster.yaml"
    members.unlink()
    members.mkdir()  # nothing can be renamed to it, as on a full disk
    second = two.make(1)
    second.start()
    second.ready(20)
    time.sleep(1.0)
    members.rmdir()
    eventually(lambda: members.is_file() and len(yaml.safe_load(members.read_text())) == 2)


def test_a_restart_needs_no_list(hosts):
    three = hosts(3)
    before = [app.id for app in three.start()]
    write(three.apps[1], "kept")
    for app in three.apps:
        app.close()
    after = three.start(cluster=[])
    assert [app.id for app in after] == before
    assert read(after[2]) == ["kept"]


def test_another_address_is_refused(hosts):
    two = hosts(2)
    app = two.make(0, cluster=[])
    app.start()
    app.close()
    moved = App(two.directories[0], two.addresses[1])
    with pytest.raises(NodeStartError) as caught:
        moved.start()
    assert caught.value.hint


@pytest.mark.parametrize("lost", [0, 2])
def test_a_lost_directory_joins_anew(hosts, lost):
    three = hosts(3)
    earlier = [app.id for app in three.start()][lost]
    write(three.apps[1], "kept")
    three.lose(lost)
    app = three.make(lost)
    app.start()
    app.ready(20)
    assert app.id != earlier
    assert three.roles() == [VOTER] * 3
    assert read(app) == ["kept"]


def test_a_founder_that_finds_another_cluster_later_gives_up(hosts):
    """Nobody answers when the first machine starts without its data; then the others return."""
    three = hosts(3)
    three.start()
    write(three.apps[1], "kept")
    for app in three.apps:
        app.close(0)
    shutil.rmtree(three.directories[0])
    second = three.make(0)
    second.start()
    second.ready(20)
    others = three.start([1, 2])
    deadline = time.monotonic() + 20
    while second.node.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(NodeError):
        second.ready(0)
    assert read(others[0]) == ["kept"]


def test_a_member_alone_waits_and_says_for_whom(hosts):
    two = hosts(2)
    app = two.make(1)
    app.start()
    with pytest.raises(ClusterJoinError) as caught:
        app.ready(0.3)
    assert two.addresses[0] in caught.value.hint
    assert not app.is_ready
    assert (app.data_dir / "join").exists()
    app.close()
    with pytest.raises(NodeError):
        app.ready(1)
    two.start()


def test_another_than_the_first_may_found(hosts):
    two = hosts(2)
    apps = [two.make(0, bootstrap=False), two.make(1, bootstrap=True)]
    for app in apps:
        app.start()
    for app in apps:
        app.ready(20)
    assert two.leader() == 1


def test_the_second_of_two_keeps_a_copy(hosts, eventually):
    two = hosts(2)
    two.start()
    eventually(lambda: two.roles() == [VOTER, STANDBY])


def test_a_dead_voter_is_replaced(hosts, eventually):
    four = hosts(4)
    apps = four.start()
    eventually(lambda: sorted(four.roles()) == [VOTER] * 3 + [STANDBY])
    standby = four.roles().index(STANDBY)
    dead = next(number for number in range(4) if number not in (standby, four.leader()))
    rest = next(number for number in range(4) if number != dead)
    apps[dead].node.kill()
    eventually(lambda: four.roles(rest)[standby] == VOTER)
    eventually(lambda: four.roles(rest)[dead] == SPARE)
    apps[dead].node.start()
    eventually(lambda: four.roles(rest)[dead] == STANDBY)


def test_votes_are_spread_over_failure_domains(hosts, eventually):
    five = hosts(5)
    domains = [1, 1, 2, 2, 3]
    for number, domain in enumerate(domains):
        app = five.make(number, failure_domain=domain, weight=number, standbys=1)
        app.start()

    def is_spread():
        votes = zip(domains, five.roles(), strict=True)
        return sorted(domain for domain, role in votes if role == VOTER) == [1, 2, 3]

    eventually(is_spread, 20)
    eventually(lambda: sorted(five.roles()) == [VOTER] * 3 + [STANDBY, SPARE])
    with five.apps[0].client() as client:
        eventually(lambda: client.describe(five.addresses[4]).weight == 4)


def test_close_hands_over_lead_and_vote(hosts, eventually):
    four = hosts(4)
    apps = four.start()
    eventually(lambda: sorted(four.roles()) == [VOTER] * 3 + [STANDBY])
    leader = four.leader()
    rest = (leader + 1) % 4
    started = time.monotonic()
    apps[leader].close()
    with apps[rest].client(timeout=1) as client:
        assert client.leader() != four.addresses[leader]
    assert time.monotonic() - started < 5
    assert four.roles(rest)[leader] == SPARE
    assert sorted(four.roles(rest)) == [VOTER] * 3 + [SPARE]


def test_close_of_a_leader_of_three_leaves_a_leader(hosts):
    three = hosts(3)
    apps = three.start()
    leader = three.leader()
    apps[leader].close()
    with apps[leader - 1].client(timeout=1) as client:
        assert client.leader() != three.addresses[leader]
    assert three.roles(leader - 1) == [VOTER] * 3


def test_close_without_quorum_does_not_hang(hosts):
    three = hosts(3)
    apps = three.start()
    for app in apps[1:]:
        app.node.kill()
    started = time.monotonic()
    apps[0].close(handover_timeout=0.5)
    assert time.monotonic() - started < 8
    apps[0].close()


def test_a_removed_member_stays_out(hosts):
    three = hosts(3)
    apps = three.start()
    follower = next(number for number in range(3) if number != three.leader())
    with apps[follower].client() as client:
        client.remove(apps[follower].id)
    time.sleep(0.5)
    assert three.roles()[follower] is None


def test_a_crashed_engine_is_no_end(hosts, eventually):
    one = hosts(1)
    app = one.make(0, weight=3)
    app.start()
    app.ready(20)
    app.node.kill()
    with pytest.raises(NoLeader):
        app.connect("library", connect_timeout=0.3)
    app.node.start()
    write(app, "kept")
    assert read(app) == ["kept"]
    with app.client() as client:
        eventually(lambda: client.describe(app.address).weight == 3)


def test_an_engine_for_sqlalchemy(hosts):
    app = hosts(1).make(0)
    with app:
        app.ready(20)
        write(app, "kept")
        engine = app.engine("library", connect_args={"timeout": 5}, pool_size=2)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT title FROM book").scalar_one() == "kept"
        engine.dispose()


@pytest.mark.parametrize("number", [0, 2])
def test_a_directory_with_only_its_files_joins_anew(hosts, number):
    """Its log is lost: started as the voter that it was, it could vote rows away."""
    three = hosts(3)
    app = three.start()[number]
    write(three.apps[1], "kept")
    earlier = app.id
    app.close(0)
    wipe(app)
    app = three.start([number], cluster=[])[0]
    assert app.id != earlier
    assert three.roles(1) == [VOTER] * 3
    assert read(app) == ["kept"]


def wipe(app):
    """Remove what the engine keeps."""
    for path in app.data_dir.iterdir():
        if path.suffix != ".yaml":
            path.unlink()


def test_damaged_files_are_told(hosts):
    one = hosts(1)
    with one.make(0) as app:
        app.ready(20)
    for name in ("cluster.yaml", "info.yaml"):
        (app.data_dir / name).write_text("ID: 5")
        with pytest.raises(NodeStartError):
            one.make(0).start()


def test_data_without_identity_is_refused(hosts):
    one = hosts(1)
    with one.make(0) as app:
        app.ready(20)
    (app.data_dir / "info.yaml").unlink()
    with pytest.raises(NodeStartError):
        one.make(0).start()


def test_a_founder_that_got_no_further_than_its_files(hosts):
    """It was ended between deciding and starting; nothing was lost."""
    two = hosts(2)
    with two.make(0, cluster=[]) as app:
        app.ready(20)
    wipe(app)
    two.start()


def test_calls_at_the_wrong_time(hosts):
    one = hosts(1)
    app = one.make(0)
    with pytest.raises(NodeNotRunningError):
        app.ready()
    with pytest.raises(NodeNotRunningError):
        _ = app.node
    assert app.members == []
    app.start()
    with pytest.raises(NodeStartError):
        app.start()
    with pytest.raises(NodeStartError):
        one.make(0).start()
    app.close()
    app.close()
    with pytest.raises(NodeStartError):
        app.start()


@pytest.mark.parametrize(
    "options",
    [
        {"voters": 2},
        {"standbys": -1},
        {"adjust_interval": 0},
        {"cluster": ["0.0.0.0:1"]},
        {"cluster": ["nonsense"]},
        {"bootstrap": False},
        {"address": "0.0.0.0:9001"},
    ],
)
def test_impossible_arguments(tmp_path, options):
    with pytest.raises(NodeError):
        App(**{"data_dir": tmp_path, "address": "127.0.0.1:9001", **options})
