"""What SQLAlchemy's and Alembic's test suites call on a member; `make suites` runs them whole."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.testing import exclusions, provision

from sqlalchemy_dqlite.provision import empty
from sqlalchemy_dqlite.requirements import Requirements

TABLE = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


class Config:
    """The part of SQLAlchemy's test configuration that conditions look at."""

    def __init__(self, db):
        self.db = db


@pytest.mark.parametrize("name", ["dqlite", "sqlite+dqlite"])
def test_each_process_has_a_database(name):
    url = provision.follower_url_from_main(make_url(f"{name}://h:1/main"), "one")
    assert (url.drivername, url.host, url.database) == (name, "h", "one")


@pytest.mark.parametrize(
    ("url", "driver", "expected"),
    [
        ("dqlite://h:1/db", "aio", "dqlite+aio"),
        ("sqlite+dqlite://h:1/db", "aiodqlite", "sqlite+aiodqlite"),
        ("dqlite://h:1/db", "none", None),
    ],
)
def test_another_driver_of_the_same_kind(url, driver, expected):
    found = provision.generate_driver_url(make_url(url), driver, "")
    assert (found and found.drivername) == expected


def test_sqlite_keeps_its_own_hooks():
    url = provision.follower_url_from_main(make_url("sqlite:///main.db"), "one")
    assert url.database == "main_pysqlite_one.db"


def test_a_schema_of_temporary_tables(db):
    provision.post_configure_engine(db.url, db, None)
    there = sa.Table("t", sa.MetaData(schema="test_schema"), sa.Column("id", sa.Integer))
    with db.begin() as connection:
        TABLE.create(connection)
        there.create(connection)
        connection.execute(there.insert(), {"id": 7})
        assert connection.scalars(sa.select(there.c.id)).all() == [7]
        assert connection.scalars(sa.select(TABLE.c.id)).all() == []
        assert sa.inspect(connection).get_table_names("test_schema") == ["t"]
    with db.connect() as connection:
        assert connection.scalars(sa.select(there.c.id)).all() == [7]
    db.dispose()
    with db.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.execute(sa.select(there))


def test_a_database_is_emptied(make_engine):
    db = make_engine("&foreign_keys=true")
    with db.begin() as connection:
        for sql in (
            "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
            'CREATE TABLE "a child" (id INTEGER PRIMARY KEY REFERENCES parent)',
            "CREATE VIEW v AS SELECT * FROM parent",
            "INSERT INTO parent VALUES (1)",
            'INSERT INTO "a child" VALUES (1)',
        ):
            connection.exec_driver_sql(sql)
    empty(db)
    inspector = sa.inspect(db)
    assert inspector.get_table_names() == inspector.get_view_names() == []
    with db.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.mark.parametrize(
    ("condition", "blocking"), [("sqlite", True), ("+pysqlite", True), ("postgresql", False)]
)
def test_conditions_on_sqlite_hold(db, condition, blocking):
    expected = blocking and (condition == "sqlite" or not db.dialect.is_async)
    assert exclusions.SpecPredicate(condition)(Config(db)) is expected
    assert not exclusions.SpecPredicate(condition, "<", (3, 0))(Config(db))


def test_the_collation_is_sqlites(db):
    assert Requirements().get_order_by_collation(Config(db)) == "NOCASE"
