"""Loading SQLite files and SQL text into a cluster, sync and asyncio, on real members."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing, suppress

import pytest

import dqlite_dbapi
import dqlite_dbapi.snapshot
from dqlite_dbapi import (
    DataError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from dqlite_dbapi.options import parse
from dqlite_node import LocalCluster
from tests.support.copies import asyncio_functions, blocking_functions
from tests.support.everything import VALUES, content, fill


@pytest.fixture(params=["sync", "aio"])
def copies(request):
    if request.param == "sync":
        return blocking_functions()
    return asyncio_functions(request.getfixturevalue("loop_thread"))


@pytest.fixture
def target(single, database):
    return parse(single.addresses, database)


@pytest.fixture
def source(tmp_path):
    """An empty SQLite file."""
    with closing(sqlite3.connect(tmp_path / "source.db", check_same_thread=False)) as database:
        yield database


@pytest.fixture
def full_path(tmp_path):
    """The file of `full`."""
    return tmp_path / "full.db"


@pytest.fixture
def full(full_path):
    """A SQLite database with every kind of object."""
    with closing(sqlite3.connect(full_path, check_same_thread=False)) as database:
        fill(database)
        yield database


def _content_of(target):
    with closing(dqlite_dbapi.connect(target)) as connection:
        found = content(connection.execute)
        connection.rollback()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return found


# -- what is kept


def test_everything_is_kept(copies, target, full, full_path):
    loaded = copies.restore(target, full_path, check=True)
    assert _content_of(target) == content(full.execute)
    assert loaded.tables["plain"] == len(VALUES) + 2
    assert loaded.tables["words"] == 2
    assert loaded.rows == sum(loaded.tables.values())
    assert (loaded.resumed, loaded.violations) == (False, 0)


def test_a_connection_as_the_source_stays_as_it_was(copies, target, full):
    full.row_factory = sqlite3.Row
    full.text_factory = bytes
    copies.restore(target, full, check=True)
    assert not full.in_transaction
    assert (full.row_factory, full.text_factory) == (sqlite3.Row, bytes)
    full.row_factory, full.text_factory = None, str
    full.execute("SELECT 1")
    assert _content_of(target) == content(full.execute)


def test_small_batches(copies, target, full, full_path):
    copies.restore(target, full_path, batch=1)
    assert _content_of(target) == content(full.execute)


def test_a_dump_comes_back(copies, target, full, single, database, tmp_path, full_path):
    copies.restore(target, full_path)
    copies.dump(target, tmp_path / "back.db")
    other = parse(single.addresses, f"_{database}")
    copies.restore(other, tmp_path / "back.db", check=True)
    assert _content_of(other) == content(full.execute)


@pytest.mark.parametrize("columns", [1, 40, 300])
def test_wide_and_narrow_tables(copies, target, source, columns):
    names = ", ".join(f"c{number}" for number in range(columns))
    source.execute(f"CREATE TABLE t ({names})")
    places = ", ".join("?" * columns)
    rows = [[f"{row}'{number}" for number in range(columns)] for row in range(30)]
    source.executemany(f"INSERT INTO t VALUES ({places})", rows)
    source.commit()
    assert copies.restore(target, source, check=True).rows == 30


def test_tokens_of_transactions_do_not_collide(copies, target, source):
    with closing(dqlite_dbapi.connect(target)) as connection:
        dqlite_dbapi.run_transaction(connection, lambda db: db.execute("SELECT 1"))
        ddl = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'dqlite_transactions'"
        ).fetchone()[0]
    source.execute(ddl)
    source.execute("INSERT INTO dqlite_transactions VALUES (x'77', NULL, 1)")
    source.commit()
    copies.restore(target, source)
    with closing(dqlite_dbapi.connect(target)) as connection:
        tokens = connection.execute("SELECT count(*) FROM dqlite_transactions").fetchone()
    assert tokens == (2,)


def test_rows_that_break_foreign_keys_are_told(copies, target, source):
    source.executescript("CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES a)")
    source.execute("INSERT INTO a VALUES (1, 99)")
    source.commit()
    assert copies.restore(target, source).violations == 1


def test_an_empty_source(copies, target, source):
    assert copies.restore(target, source).tables == {}


# -- what is refused


def test_a_target_that_is_not_empty(copies, target, source, full, full_path):
    source.execute("CREATE TABLE other AS SELECT 1 AS a")
    source.commit()
    copies.restore(target, full_path)
    with pytest.raises(ProgrammingError):
        copies.restore(target, source)
    assert _content_of(target) == content(full.execute)
    copies.restore(target, source, overwrite=True)
    with closing(dqlite_dbapi.connect(target)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert [name for (name,) in tables if not name.startswith("sqlite_")] == ["other"]
    copies.restore(target, full_path, overwrite=True)
    assert _content_of(target) == content(full.execute)


def test_an_open_transaction(driver_connect, copies_of_driver, target, source):
    with closing(driver_connect(target)) as connection:
        connection.execute("CREATE TABLE t (a)")
        with pytest.raises(ProgrammingError):
            copies_of_driver.restore(connection, source)
        connection.rollback()
        copies_of_driver.restore(connection, source)


@pytest.fixture
def copies_of_driver(request, driver_connect):
    if driver_connect is dqlite_dbapi.connect:
        return blocking_functions()
    return asyncio_functions(request.getfixturevalue("loop_thread"))


def test_sources_that_are_none(copies, target, tmp_path):
    with pytest.raises(InterfaceError):
        copies.restore(target, tmp_path / "missing.db")
    (tmp_path / "junk.db").write_bytes(b"junk" * 2000)
    with pytest.raises(DataError):
        copies.restore(target, tmp_path / "junk.db")


def test_an_index_without_its_text(copies, target, source):
    source.execute("CREATE VIRTUAL TABLE t USING fts5(a, content='')")
    with pytest.raises(NotSupportedError):
        copies.restore(target, source)
    assert not source.in_transaction
    assert source.text_factory is str


# -- interruptions


@pytest.fixture
def big(source):
    source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    source.executemany("INSERT INTO t VALUES (?, ?)", [(n, "v" * 50) for n in range(2000)])
    source.execute("CREATE TABLE u AS SELECT id * 2 AS a FROM t")
    source.commit()
    return source


class _Stop(Exception):
    pass


def _stop_at(limit):
    def progress(done, total):
        assert total == 4000
        if done >= limit:
            raise _Stop

    return progress


def test_an_interrupted_load_goes_on(copies, target, big):
    for limit in (300, 2500):
        with pytest.raises(_Stop):
            copies.restore(target, big, batch=200, progress=_stop_at(limit))
    seen = []
    loaded = copies.restore(
        target, big, batch=150, check=True, progress=lambda done, _: seen.append(done)
    )
    assert loaded.resumed
    assert loaded.tables == {"t": 2000, "u": 2000}
    assert seen[0] > 2500
    with closing(dqlite_dbapi.connect(target)) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT a) FROM u").fetchone()
        names = connection.execute("SELECT name FROM sqlite_master ORDER BY 1").fetchall()
    assert found == (2000, 2000)
    assert names == [("t",), ("u",)]


def test_an_interrupted_load_of_another_source(copies, target, big):
    with pytest.raises(_Stop):
        copies.restore(target, big, batch=200, progress=_stop_at(300))
    big.execute("UPDATE t SET v = 'changed' WHERE id = 7")
    big.commit()
    with pytest.raises(ProgrammingError):
        copies.restore(target, big)
    loaded = copies.restore(target, big, overwrite=True, check=True)
    assert (loaded.rows, loaded.resumed) == (4000, False)


def test_somebody_else_writes_meanwhile(copies, target, big):
    def meddle(done, total):
        if done == total:
            with closing(dqlite_dbapi.connect(target, autocommit=True)) as connection:
                connection.execute("DELETE FROM t WHERE id < 10")

    with pytest.raises(DataError):
        copies.restore(target, big, progress=meddle)
    assert copies.restore(target, big, overwrite=True).rows == 4000


def test_changed_values_are_found_on_request(copies, target, big):
    def meddle(done, total):
        if done == total:
            with closing(dqlite_dbapi.connect(target, autocommit=True)) as connection:
                connection.execute("UPDATE t SET v = 'x' WHERE id = 9")

    with pytest.raises(DataError):
        copies.restore(target, big, progress=meddle, check=True)


def test_another_load_into_the_same_database(copies, target, big):
    def meddle(done, total):
        if done >= 1000:
            with closing(dqlite_dbapi.connect(target, autocommit=True)) as connection:
                connection.execute("UPDATE dqlite_load SET position = 1")

    with pytest.raises(OperationalError):
        copies.restore(target, big, batch=500, progress=meddle)


def test_the_leader_is_killed_and_moved_while_loading(copies, big, engine):
    with LocalCluster(3, launcher=engine.launcher) as own:
        target = parse(own.addresses)
        stop = threading.Event()

        def disturb():
            with dqlite_dbapi.Client(own.addresses) as client:
                while not stop.wait(0.15):
                    with suppress(OperationalError):  # of an engine whose follower is behind
                        client.transfer()
            index = own.leader_index()
            own.kill(index)

        disturber = threading.Thread(target=disturb)
        disturber.start()

        def progress(done, total):
            time.sleep(0.01)
            if done >= 2500:
                stop.set()

        try:
            loaded = copies.restore(target, big, batch=50, check=True, progress=progress)
        finally:
            stop.set()
            disturber.join()
        assert loaded.rows == 4000
        with closing(dqlite_dbapi.connect(target)) as connection:
            found = connection.execute("SELECT count(*), count(DISTINCT a) FROM u").fetchone()
            assert found == (2000, 2000)


def test_a_cancelled_load_goes_on(target, big):
    async def main():
        task = asyncio.ensure_future(
            dqlite_dbapi.aio.snapshot.restore(
                target, big, batch=50, progress=lambda done, _: done > 1000 and task.cancel()
            )
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        return await dqlite_dbapi.aio.snapshot.restore(target, big, check=True)

    loaded = asyncio.run(main())
    assert loaded.resumed
    assert loaded.rows == 4000


# -- SQL text


def test_iterdump_comes_back(copies, target, full):
    full.execute("DELETE FROM plain WHERE a = 0 OR c = 9e999")  # sqlite3 itself cannot dump those
    lines = list(full.iterdump())
    loaded = copies.load(target, lines, check=True)
    assert loaded.tables["counted"] == 20
    with closing(dqlite_dbapi.connect(target)) as connection:
        for query in ("SELECT * FROM keyed", "SELECT * FROM counted", "SELECT * FROM bare"):
            assert connection.execute(query).fetchall() == full.execute(query).fetchall()
        found = connection.execute("SELECT rowid FROM words WHERE words MATCH 'lazy'")
        assert found.fetchall() == [(70,)]
        assert connection.execute("SELECT id FROM boxes WHERE x1 > 2").fetchall() == [(5,)]


def test_a_dump_of_an_older_python(copies, target):
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)")
        database.execute("INSERT INTO boxes VALUES (5, 1.25, 2.5)")
        (node,) = database.execute("SELECT hex(data) FROM boxes_node").fetchone()
    lines = [
        "CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);",
        'INSERT INTO "boxes" VALUES(5,1.25,2.5);',
        'CREATE TABLE "boxes_node"(nodeno INTEGER PRIMARY KEY,data);',
        f"INSERT INTO \"boxes_node\" VALUES(1,X'{node}');",
        'CREATE TABLE "boxes_parent"(nodeno INTEGER PRIMARY KEY,parentnode);',
        'CREATE TABLE "boxes_rowid"(rowid INTEGER PRIMARY KEY,nodeno);',
        'INSERT INTO "boxes_rowid" VALUES(5,1);',
    ]
    copies.load(target, ["BEGIN TRANSACTION;", *lines, "COMMIT;"])
    with closing(dqlite_dbapi.connect(target)) as connection:
        assert connection.execute("SELECT * FROM boxes").fetchall() == [(5, 1.25, 2.5)]
    with pytest.raises(DataError):  # not what the virtual table made for itself
        copies.load(target, [lines[0], "CREATE TABLE boxes_rowid (a)"], overwrite=True)


@pytest.mark.parametrize("form", ["text", "lines", "file"])
def test_forms_of_a_script(copies, target, tmp_path, form):
    script = (
        "-- a comment;\nBEGIN;\nCREATE TABLE t (a);\nINSERT INTO t VALUES ('one;\ntwo');"
        "INSERT INTO t VALUES (2);\nCREATE TRIGGER r AFTER DELETE ON t BEGIN\n"
        "  INSERT INTO t VALUES (3);\nEND;\nCOMMIT;\n"
    )
    path = tmp_path / "script.sql"
    path.write_text(script)
    forms = {"text": script, "lines": script.splitlines(keepends=True), "file": path}
    assert copies.load(target, forms[form]).tables == {"t": 2}
    with closing(dqlite_dbapi.connect(target)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [("one;\ntwo",), (2,)]


@pytest.mark.parametrize(
    "script", ["CREATE TABLE t (", "SELECT nothing", "ATTACH 'x.db' AS x", "VACUUM INTO 'x.db'"]
)
def test_scripts_that_do_not_run(copies, target, script):
    with pytest.raises(DataError):
        copies.load(target, f"CREATE TABLE a (b); {script};")
    with closing(dqlite_dbapi.connect(target)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_a_load_is_interrupted_as_a_restore_is(copies, target, big):
    lines = list(big.iterdump())
    with pytest.raises(_Stop):
        copies.load(target, lines, batch=100, progress=_stop_at(500))
    assert copies.load(target, lines).resumed
