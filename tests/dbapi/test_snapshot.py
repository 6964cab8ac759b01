"""Copies of databases: dump, snapshot and iterdump, sync and asyncio, from real members."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import subprocess
import sys
import time
from contextlib import closing

import pytest

import dqlite_dbapi
import dqlite_dbapi.aio
import dqlite_dbapi.aio.snapshot
from dqlite_dbapi import (
    Client,
    DataError,
    NoLeader,
    OperationalError,
    ProtocolViolation,
)
from dqlite_dbapi.options import parse
from dqlite_node import LocalCluster, Node
from tests.support.copies import asyncio_functions, blocking_functions
from tests.support.fakeserver import FakeServer
from tests.support.flows import failure, message, server, text

ROWS = 400


@pytest.fixture(params=["sync", "aio"])
def copies(request):
    if request.param == "sync":
        return blocking_functions()
    return asyncio_functions(request.getfixturevalue("loop_thread"))


def _fill(addresses, database):
    with closing(dqlite_dbapi.connect(addresses, database)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
        rows = [(number, "x" * 100) for number in range(ROWS)]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        connection.commit()


def _wait_until_all_have_it(addresses, options):
    """Followers hear of a commit with the next message of their leader."""
    for address in addresses:
        for _ in range(100):
            try:
                with dqlite_dbapi.snapshot.snapshot(options, address=address) as snapshot:
                    if snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,):
                        break
            except (OperationalError, sqlite3.OperationalError):
                pass
            time.sleep(0.05)


@pytest.fixture
def options(cluster, database):
    """A database of 400 rows, known to all three members."""
    _fill(cluster.addresses, database)
    options = parse(cluster.addresses, database)
    _wait_until_all_have_it(cluster.addresses, options)
    return options


# -- snapshot


def test_a_snapshot_is_read_with_sqlite3(copies, options, cluster):
    before = time.time()
    with copies.snapshot(options) as snapshot:
        assert isinstance(snapshot.connection, sqlite3.Connection)
        assert snapshot.execute("SELECT count(*), sum(id) FROM t").fetchone() == (400, 79800)
        assert snapshot.execute("SELECT id FROM t WHERE id = ?", (7,)).fetchall() == [(7,)]
        assert snapshot.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert snapshot.database == options.database
        assert snapshot.is_leader
        assert snapshot.address == cluster.wait_leader()
        assert before - 1 < snapshot.taken_at < time.time()
        age = snapshot.age
        assert 0 < age < 30
        assert snapshot.age > age


def test_a_snapshot_is_read_only(copies, options):
    with copies.snapshot(options) as snapshot, pytest.raises(sqlite3.OperationalError):
        snapshot.execute("DELETE FROM t")


def test_a_snapshot_does_not_change(copies, options):
    with (
        copies.snapshot(options) as snapshot,
        closing(dqlite_dbapi.connect(options)) as connection,
    ):
        connection.execute("DELETE FROM t")
        connection.commit()
        assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_a_closed_snapshot_refuses(copies, options):
    snapshot = copies.snapshot(options)
    snapshot.close()
    snapshot.close()
    with pytest.raises(sqlite3.ProgrammingError):
        snapshot.execute("SELECT 1")


def test_a_snapshot_in_a_file(copies, options, tmp_path):
    path = tmp_path / "a snapshot?.db"
    with copies.snapshot(options, path=path) as snapshot:
        assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
        with pytest.raises(sqlite3.OperationalError):
            snapshot.execute("DELETE FROM t")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_snapshot_where_python_cannot_open_one_in_memory(copies, options, monkeypatch):
    monkeypatch.setattr("dqlite_dbapi.snapshot.new_sink", lambda: None)
    monkeypatch.setattr("dqlite_dbapi.aio.snapshot.new_sink", lambda: None)
    with copies.snapshot(options) as snapshot:
        assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_every_member_has_a_copy(copies, options, cluster):
    for address in cluster.addresses:
        with copies.snapshot(options, address=address) as snapshot:
            assert snapshot.address == address
            assert snapshot.is_leader == (address == cluster.wait_leader())
            assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_uncommitted_rows_are_not_copied(copies, options):
    with closing(dqlite_dbapi.connect(options)) as connection:
        connection.execute("DELETE FROM t")
        with copies.snapshot(options) as snapshot:
            assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_the_log_after_a_checkpoint(copies, single, database):
    """Many pages are written many times, so that the log is cut and begun anew."""
    with closing(dqlite_dbapi.connect(single.addresses, database, autocommit=True)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
        for number in range(120):
            connection.execute(
                "INSERT INTO t SELECT NULL, randomblob(3000) FROM pragma_compile_options LIMIT 10"
            )
            if number % 40 == 39:
                connection.execute("DELETE FROM t WHERE id % 3 = 0")
                with copies.snapshot(connection.options) as snapshot:
                    assert snapshot.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                    expected = connection.execute("SELECT count(*) FROM t").fetchone()
                    assert snapshot.execute("SELECT count(*) FROM t").fetchone() == expected


def test_a_stale_snapshot_spares_the_leader(copies, options, cluster):
    leader = cluster.wait_leader()
    found = []
    for _ in range(5):
        with copies.stale_snapshot(options, time.monotonic() + 10) as snapshot:
            found.append(snapshot.address)
    assert found.count(leader) < 3
    assert set(found) <= set(cluster.addresses)


def test_a_stale_snapshot_of_a_single_member(copies, single, database):
    _fill(single.addresses, database)
    options = parse(single.addresses, database)
    with copies.stale_snapshot(options, time.monotonic() + 10) as snapshot:
        assert snapshot.is_leader
    with pytest.raises(OperationalError) as caught:
        copies.stale_snapshot(parse(single.addresses, f"_{database}"), time.monotonic() + 10)
    assert caught.value.code == 1002


def test_followers_that_do_not_know_a_new_database_are_left_out(copies, cluster, database):
    _fill(cluster.addresses, database)
    options = parse(cluster.addresses, database)
    with copies.stale_snapshot(options, time.monotonic() + 10) as snapshot:
        assert snapshot.database == database


def test_a_member_outside_of_the_cluster_is_left_out(copies, single, database, tmp_path, engine):
    _fill(single.addresses, database)
    with (
        closing(LocalCluster(1, directory=tmp_path)) as port_owner,
        Node(port_owner.addresses[0], tmp_path / "fresh", 4242, launcher=engine.launcher) as fresh,
    ):
        options = parse([fresh.address, *single.addresses], database)
        with copies.stale_snapshot(options, time.monotonic() + 10) as snapshot:
            assert [snapshot.address] == single.addresses
        with pytest.raises(OperationalError) as caught:
            copies.stale_snapshot(parse(fresh.address, database), time.monotonic() + 10)
        assert caught.value.code == 1002


def test_copies_without_a_quorum(copies, tmp_path, engine):
    with LocalCluster(3, launcher=engine.launcher) as own:
        _fill(own.addresses, "main")
        options = parse(own.addresses)
        _wait_until_all_have_it(own.addresses, options)
        leader = own.leader_index()
        follower = (leader + 1) % 3
        own.pause(follower)
        time.sleep(0.2)  # a signal is not obeyed at once
        started = time.monotonic()
        with copies.stale_snapshot(options, time.monotonic() + 10) as snapshot:
            assert snapshot.address != own.addresses[follower]
        assert time.monotonic() - started < 1
        own.resume(follower)
        for index in (leader, (leader + 2) % 3):
            own.kill(index)
        with copies.snapshot(options, timeout=1) as snapshot:
            assert snapshot.address == own.addresses[follower]
            assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
        copied = copies.dump(options, tmp_path / "x.db", timeout=1)
        assert not copied.is_leader
        with copies.stale_snapshot(options, time.monotonic() + 10) as snapshot:
            assert snapshot.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
        own.kill(follower)
        with pytest.raises(NoLeader):
            copies.stale_snapshot(options, time.monotonic() + 1)


# -- dump


def test_a_dump_is_one_ordinary_file(copies, options, cluster, tmp_path):
    path = tmp_path / "copy.db"
    path.write_text("an older copy")
    seen = []
    copied = copies.dump(
        options, path, check=True, progress=lambda done, total: seen.append((done, total))
    )
    assert copied.address == cluster.wait_leader()
    assert copied.is_leader
    assert copied.size == path.stat().st_size
    assert copied.taken_at <= time.time()
    assert [each.name for each in tmp_path.iterdir()] == ["copy.db"]
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] >= copied.size
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert copy.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_a_dump_by_way_of_a_connection_and_of_a_client(options, cluster, tmp_path):
    path = tmp_path / "copy.db"
    with closing(dqlite_dbapi.connect(options)) as connection:
        dqlite_dbapi.snapshot.dump(connection, path)
    with Client(cluster.addresses) as client:
        dqlite_dbapi.snapshot.dump(client, path, options.database)
    url = f"dqlite://{','.join(cluster.addresses)}/{options.database}"
    assert dqlite_dbapi.snapshot.dump(url, path).size == path.stat().st_size


def test_an_unknown_database_leaves_no_file(copies, cluster, database, tmp_path):
    with pytest.raises(OperationalError) as caught:
        copies.dump(parse(cluster.addresses, database), tmp_path / "copy.db")
    assert caught.value.code == 1002
    assert caught.value.address in cluster.addresses
    assert list(tmp_path.iterdir()) == []


def test_no_member_answers(copies, tmp_path):
    with pytest.raises(NoLeader) as caught:
        copies.dump(parse("127.0.0.1:1"), tmp_path / "copy.db", timeout=0.5)
    assert "127.0.0.1:1" in str(caught.value)


def test_a_folder_that_is_not_there(copies, options, tmp_path):
    with pytest.raises(FileNotFoundError):
        copies.dump(options, tmp_path / "no" / "copy.db")


def _scripted(*answers):
    """A member that greets as a leader does and answers DUMP by `answers`."""

    def script(connection):
        address = "{}:{}".format(*connection.getsockname())
        listing = struct.pack("<QQ", 1, 1) + text(address) + bytes(8)
        connection.recv(65536)
        greeting = (server(address), message(3, listing))
        connection.sendall(b"".join(greeting))
        if connection.recv(65536):
            for answer in answers:
                connection.sendall(answer)
                time.sleep(0.01)
            connection.recv(65536)

    return script


def _files(*contents):
    body = struct.pack("<Q", len(contents))
    for content in contents:
        body += text("x") + struct.pack("<Q", len(content)) + content
    return message(9, body)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A small database file."""
    path = tmp_path_factory.mktemp("image") / "x.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS a")
        database.commit()
    return path.read_bytes()


def test_an_answer_in_many_pieces(copies, image):
    whole = _files(image, b"")
    pieces = [whole[:5], whole[5:13], whole[13:21], whole[21:40], whole[40:5000], whole[5000:]]
    with (
        FakeServer(_scripted(*pieces)) as peer,
        copies.snapshot(parse(peer.address), address=peer.address) as snapshot,
    ):
        assert snapshot.execute("SELECT a FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (message(9, struct.pack("<Q", 1) + bytes(16)), ProtocolViolation),
        (message(9, struct.pack("<Q", 2) + b"n" * 8000), ProtocolViolation),
        (message(5, bytes(16)), ProtocolViolation),
        (failure(1, "no"), OperationalError),
        (failure(1002, "not found"), OperationalError),
        (_files(b"", b""), OperationalError),
        (_files(b"junk" * 2048, b""), DataError),
    ],
    ids=["one file", "endless name", "other type", "failure", "unknown", "empty", "junk"],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_answers_that_are_no_copy(copies, tmp_path, answer, expected, in_file):
    options = {"path": tmp_path / "copy.db"} if in_file else {}
    with FakeServer(_scripted(answer)) as peer, pytest.raises(expected):
        copies.snapshot(parse(peer.address), address=peer.address, timeout=5, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_stalls(copies, tmp_path):
    with FakeServer(_scripted(_files(bytes(8192), b"")[:5000])) as peer:
        started = time.monotonic()
        with pytest.raises(dqlite_dbapi.Timeout):
            copies.dump(
                parse(peer.address), tmp_path / "copy.db", address=peer.address, timeout=0.3
            )
        assert time.monotonic() - started < 3
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found_on_request(copies, image, tmp_path):
    damaged = bytearray(image * 1)
    damaged[4096:4200] = bytes(104)
    with FakeServer(_scripted(_files(bytes(damaged), b""))) as peer, pytest.raises(DataError):
        copies.dump(parse(peer.address), tmp_path / "x.db", address=peer.address, check=True)
    assert list(tmp_path.iterdir()) == []


# -- iterdump


def test_iterdump_gives_what_sqlite3_gives(driver_connect, options):
    with closing(driver_connect(options)) as connection:
        lines = list(connection.iterdump())
        assert lines[0] == "BEGIN TRANSACTION;"
        assert len([line for line in lines if line.startswith('INSERT INTO "t"')]) == ROWS
        with closing(sqlite3.connect(":memory:")) as copy:
            copy.executescript("".join(lines))
            assert copy.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_iterdump_of_a_new_database(driver_connect, single, database):
    with closing(driver_connect(single.addresses, database)) as connection:
        assert list(connection.iterdump()) == ["BEGIN TRANSACTION;", "COMMIT;"]


# -- the rest


def test_a_cancelled_dump_leaves_no_file(options, tmp_path):
    async def main():
        task = asyncio.ensure_future(dqlite_dbapi.aio.snapshot.dump(options, tmp_path / "copy.db"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_importing_the_driver_does_not_load_sqlite3():
    code = "import sys, dqlite_dbapi, dqlite_dbapi.snapshot; sys.exit('sqlite3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
