"""Foreign keys while Alembic migrates: rebuilding a table costs its children nothing."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from tests.support.migrations import run_revisions

ACTIONS = ["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"]


@pytest.fixture(params=["", "&foreign_keys=true", "&foreign_keys=false"])
def family(request, make_engine):
    """Parents with children, by each value of the option."""
    engine = make_engine(request.param)
    fill(engine)
    return engine


@pytest.fixture
def enforced(make_engine):
    engine = make_engine("&foreign_keys=true")
    fill(engine)
    return engine


def fill(engine):
    with engine.begin() as connection:
        run = connection.exec_driver_sql
        run("CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT)")
        run("INSERT INTO parents VALUES (1, 'Ann')")
        for number, action in enumerate(ACTIONS):
            run(
                f"CREATE TABLE children{number} (id INTEGER PRIMARY KEY,"
                f" parent INTEGER REFERENCES parents (id) ON DELETE {action})"
            )
            run(f"INSERT INTO children{number} VALUES (1, 1), (2, 1)")
        run(
            "CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT,"
            " up INTEGER REFERENCES nodes (id) ON DELETE CASCADE)"
        )
        run("INSERT INTO nodes VALUES (1, 'a', NULL), (2, 'b', 1), (3, 'c', 2)")


def check_children(engine):
    with engine.connect() as connection:
        for number in range(len(ACTIONS)):
            rows = connection.exec_driver_sql(f"SELECT id, parent FROM children{number}").all()
            assert [tuple(row) for row in rows] == [(1, 1), (2, 1)]
        rows = connection.exec_driver_sql("SELECT id, up FROM nodes").all()
        assert [tuple(row) for row in rows] == [(1, None), (2, 1), (3, 2)]
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def are_on(connection):
    return connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def rebuild(op, table="parents"):
    with op.batch_alter_table(table) as batch:
        batch.alter_column("name", type_=sa.String(40), nullable=False)


def rebuild_all(op):
    rebuild(op)
    rebuild(op, "nodes")


def insert_then_rebuild(op):
    op.get_bind().exec_driver_sql("INSERT INTO parents VALUES (2, 'Ben')")
    rebuild_all(op)


def create_then_rebuild(op):
    op.create_table("other", sa.Column("id", sa.Integer, primary_key=True))
    rebuild_all(op)


def operate(engine, function):
    """As a program does that calls operations without an environment."""
    with engine.begin() as connection:
        function(Operations(MigrationContext.configure(connection)))


def run(engine, *functions, **options):
    """As env.py does with one connection."""
    with engine.connect() as connection:
        run_revisions(connection, functions, **options)


def run_inside(engine, *functions):
    """As env.py does inside of a transaction of the application."""
    with engine.begin() as connection:
        run_revisions(connection, functions)


def run_each(engine, *functions):
    """With a transaction for each migration."""
    run(engine, *functions, transaction_per_migration=True)


@pytest.mark.parametrize("way", [operate, run, run_inside, run_each])
@pytest.mark.parametrize("work", [rebuild_all, insert_then_rebuild, create_then_rebuild])
def test_children_stay(family, way, work):
    with family.connect() as connection:
        before = are_on(connection)
    way(family, work)
    check_children(family)
    columns = {each["name"]: each for each in sa.inspect(family).get_columns("parents")}
    assert columns["name"]["nullable"] is False
    with family.connect() as connection:
        assert are_on(connection) is before


def test_each_transaction_of_several(enforced):
    run_each(enforced, rebuild_all, insert_then_rebuild, rebuild_all)
    check_children(enforced)


@pytest.mark.parametrize("ending", ["commit", "rollback", "error"])
def test_the_connection_enforces_again(enforced, ending):
    with enforced.connect() as connection:
        assert are_on(connection)
        connection.rollback()
        connection.begin()
        try:
            rebuild_all(Operations(MigrationContext.configure(connection)))
            assert not are_on(connection)
            if ending == "error":
                connection.exec_driver_sql("INSERT INTO nothing VALUES (1)")
            getattr(connection, ending)()
        except sa.exc.DBAPIError:
            connection.rollback()
        assert are_on(connection)
        with pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql("INSERT INTO children0 VALUES (9, 9)")
        connection.rollback()
    check_children(enforced)


def test_a_pooled_connection_enforces_again(make_engine):
    engine = make_engine("&foreign_keys=true", pool_size=1, max_overflow=0)
    fill(engine)
    with engine.connect() as connection:
        rebuild(Operations(MigrationContext.configure(connection)))
    with engine.connect() as connection:
        assert are_on(connection)
    check_children(engine)


@pytest.mark.parametrize("way", [operate, run, run_inside, run_each])
def test_rows_that_break_keys_fail_the_migration(enforced, way):
    def orphan(op):
        rebuild_all(op)
        op.execute("INSERT INTO children0 VALUES (9, 9)")

    with pytest.raises(sa.exc.IntegrityError):
        way(enforced, orphan)
    check_children(enforced)
    columns = {each["name"]: each for each in sa.inspect(enforced).get_columns("parents")}
    assert columns["name"]["nullable"] is True


def test_rows_that_break_keys_which_are_off_are_told(make_engine, caplog):
    engine = make_engine()
    fill(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO children0 VALUES (9, 9)")
    with caplog.at_level(logging.WARNING, "sqlalchemy_dqlite"):
        run(engine, rebuild_all)
    (record,) = caplog.records
    assert "children0" in record.getMessage()


def test_too_late_to_put_keys_aside(enforced):
    with enforced.connect() as connection:
        connection.exec_driver_sql("INSERT INTO parents VALUES (2, 'Ben')")
        op = Operations(MigrationContext.configure(connection))
        with pytest.raises(CommandError):
            rebuild(op)
        connection.rollback()
    check_children(enforced)


def test_a_table_without_children_may_be_rebuilt_any_time(enforced):
    with enforced.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE alone (id INTEGER PRIMARY KEY, name TEXT)")
        rebuild(Operations(MigrationContext.configure(connection)), "alone")
        connection.commit()
