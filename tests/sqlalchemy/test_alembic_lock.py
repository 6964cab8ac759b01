"""Runs of migrations that start together: one migrates, the others wait and find it done."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext

import dqlite_dbapi
from tests.support.migrations import run_revisions

LOCK = "dqlite_migration_lock"
WAYS = [{}, {"transaction_per_migration": True}]


def create(name):
    def upgrade(op):
        op.create_table(name, sa.Column("id", sa.Integer, primary_key=True))
        time.sleep(0.05)

    return upgrade


def outside(op):
    with op.get_context().autocommit_block():
        op.execute("CREATE TABLE outside (id INTEGER PRIMARY KEY)")
        time.sleep(0.3)


HISTORIES = {
    "plain": [create("a"), create("b"), create("c")],
    "autocommit": [create("a"), outside, create("b")],
}


def tables(db):
    return set(sa.inspect(db).get_table_names())


def version(connection):
    return MigrationContext.configure(connection).get_current_heads()


def expire(db):
    """Make a lease that nobody withdrew look old."""
    with db.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {LOCK} SET expires = expires - 1000")


@pytest.fixture(params=["dqlite", "sqlite+dqlite"])
def scheme(request):
    return request.param


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("name", HISTORIES)
def test_three_instances_start_together(make_engine, name, options):
    engines = [make_engine(poolclass=sa.NullPool) for _ in range(3)]
    barrier = threading.Barrier(3)

    def start(db):
        barrier.wait()
        with db.connect() as connection:
            run_revisions(connection, HISTORIES[name], **options)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(start, engines))
    expected = {"plain": {"a", "b", "c"}, "autocommit": {"a", "b", "outside"}}[name]
    assert tables(engines[0]) == expected | {"alembic_version"}
    with engines[0].connect() as connection:
        assert version(connection) == ("3",)


@pytest.mark.parametrize("options", WAYS)
def test_a_failed_run_leaves_no_lock(db, options):
    def fail(op):
        op.execute("INSERT INTO nothing VALUES (1)")

    with db.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        run_revisions(connection, [create("a"), fail], **options)
    done = {"a", "alembic_version"} if options else set()
    assert tables(db) == done
    with db.connect() as connection:
        run_revisions(connection, [create("a"), create("b")], **options)
    assert tables(db) == {"a", "b", "alembic_version"}


def test_a_failure_after_an_autocommit_block_leaves_no_lock(db):
    def fail(op):
        outside(op)
        op.execute("INSERT INTO nothing VALUES (1)")

    with db.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        run_revisions(connection, [create("a"), fail])
    assert tables(db) == {"a", "outside", "alembic_version"}
    with db.connect() as connection:
        assert version(connection) == ("1",)


KILLED = """
import os, sys
import sqlalchemy as sa
from tests.support.migrations import run_revisions

with sa.create_engine(sys.argv[1]).connect() as connection:
    run_revisions(
        connection,
        [lambda op: op.execute("CREATE TABLE a (id INTEGER)"), lambda op: os._exit(7)],
        transaction_per_migration=sys.argv[2] == "each",
    )
"""


@pytest.mark.parametrize("each", [False, True])
def test_a_killed_run_is_waited_for_no_longer_than_its_lease(db, each):
    way = "each" if each else "one"
    url = db.url.render_as_string()
    command = [sys.executable, "-c", KILLED, url, way]
    assert subprocess.run(command, check=False).returncode == 7
    if each:
        with db.connect() as connection, pytest.raises(dqlite_dbapi.Timeout):
            run_revisions(connection, [create("a")], dqlite_lock_timeout=0.1)
        expire(db)
    with db.connect() as connection:
        run_revisions(connection, [create("a"), create("b")])
    assert tables(db) == {"a", "b", "alembic_version"}


def test_a_run_that_lost_its_lease_cannot_go_on(db, make_engine):
    other = make_engine()

    def overtake(**kw):
        """Between two migrations of the first run, another one takes it for dead."""
        connection = kw["ctx"].connection
        connection.commit()
        expire(other)
        with other.connect() as second:
            run_revisions(second, [create("a"), create("c")])

    with db.connect() as connection, pytest.raises(dqlite_dbapi.OperationalError):
        run_revisions(
            connection,
            [create("a"), create("b")],
            transaction_per_migration=True,
            on_version_apply=(overtake,),
        )
    assert tables(db) == {"a", "c", "alembic_version"}


def test_writers_are_waited_for(db, make_engine):
    writer = make_engine().connect()
    writer.exec_driver_sql("CREATE TABLE theirs (n)")
    threading.Timer(0.5, lambda: (writer.commit(), writer.close())).start()
    with db.connect() as connection:
        run_revisions(connection, [create("a")])
    assert tables(db) == {"a", "theirs", "alembic_version"}


def test_patience_ends(make_engine):
    db = make_engine("&busy_timeout=0.1")
    with make_engine().connect() as writer:
        writer.exec_driver_sql("CREATE TABLE theirs (n)")
        with db.connect() as connection, pytest.raises(dqlite_dbapi.Timeout) as caught:
            run_revisions(connection, [create("a")], dqlite_lock_timeout=0.2)
        assert caught.value.is_retryable
    assert tables(db) == set()


@pytest.mark.parametrize("options", [{"dont_mutate": True}, {"dqlite_lock": False}])
def test_who_only_looks_takes_no_lock(db, make_engine, options):
    with make_engine().connect() as writer:
        writer.exec_driver_sql("CREATE TABLE theirs (n)")
        with db.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"fn": lambda heads, context: [], "dont_mutate": True, **options}
            )
            with context.begin_transaction():
                context.run_migrations()
        writer.commit()
