"""Transactions, isolation levels and db features through SQLAlchemy."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from sqlalchemy_dqlite import insert

METADATA = sa.MetaData()
ITEMS = sa.Table(
    "items",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), unique=True),
    sa.Column("parent", sa.ForeignKey("items.id")),
)


@pytest.fixture
def items(db):
    METADATA.create_all(db)
    return db


def names(db):
    with db.connect() as connection:
        return connection.scalars(sa.select(ITEMS.c.name).order_by(ITEMS.c.name)).all()


def test_commit_and_rollback(items):
    with items.connect() as connection:
        connection.execute(ITEMS.insert(), {"name": "kept"})
        connection.commit()
        connection.execute(ITEMS.insert(), {"name": "dropped"})
        assert names(items) == ["kept"]
        connection.rollback()
        connection.execute(ITEMS.insert(), {"name": "forgotten"})
    assert names(items) == ["kept"]


def test_ddl_is_part_of_the_transaction(db):
    with db.connect() as connection:
        METADATA.create_all(connection)
        connection.rollback()
    assert sa.inspect(db).get_table_names() == []


def test_savepoints(items):
    with items.begin() as connection:
        connection.execute(ITEMS.insert(), {"name": "a"})
        with connection.begin_nested() as savepoint:
            connection.execute(ITEMS.insert(), {"name": "b"})
            savepoint.rollback()
        with connection.begin_nested():
            connection.execute(ITEMS.insert(), {"name": "c"})
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(ITEMS.insert(), {"name": "a"})
    assert names(items) == ["a", "c"]


def test_savepoint_first_then_rollback_of_all(items):
    with items.connect() as connection:
        with connection.begin_nested():
            connection.execute(ITEMS.insert(), {"name": "a"})
        connection.rollback()
    assert names(items) == []


def test_reading_first_does_not_spoil_a_later_write(items):
    with items.connect() as reader:
        assert reader.execute(sa.select(ITEMS)).all() == []
        with items.begin() as writer:
            writer.execute(ITEMS.insert(), {"name": "other"})
        reader.execute(ITEMS.insert(), {"name": "own"})
        reader.commit()
    assert names(items) == ["other", "own"]


def test_autocommit(items):
    with items.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        assert connection.get_isolation_level() == "AUTOCOMMIT"
        connection.execute(ITEMS.insert(), {"name": "at once"})
        assert names(items) == ["at once"]
        connection.rollback()
    assert names(items) == ["at once"]


def test_isolation_level_is_reset_in_the_pool(make_engine):
    db = make_engine(pool_size=1, max_overflow=0)
    with db.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
    with db.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        assert connection.default_isolation_level == "SERIALIZABLE"


@pytest.mark.parametrize(
    "options", [{"isolation_level": "AUTOCOMMIT"}, {"connect_args": {"autocommit": True}}]
)
def test_autocommit_engine(items, make_engine, options):
    with make_engine(**options).connect() as connection:
        assert connection.get_isolation_level() == "AUTOCOMMIT"
        connection.execute(ITEMS.insert(), {"name": "at once"})
    assert names(items) == ["at once"]


def test_skip_autocommit_rollback(make_engine):
    db = make_engine(isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    with db.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_unknown_isolation_level(make_engine):
    with pytest.raises(ArgumentError):
        make_engine(isolation_level="REPEATABLE READ").connect()


@pytest.mark.parametrize(("option", "enforced"), [("", False), ("&foreign_keys=true", True)])
def test_foreign_keys(items, make_engine, option, enforced):
    orphan = {"name": "orphan", "parent": 77}
    with make_engine(option).connect() as connection:
        if enforced:
            with pytest.raises(IntegrityError):
                connection.execute(ITEMS.insert(), orphan)
        else:
            connection.execute(ITEMS.insert(), orphan)


def test_version_is_the_servers(db):
    with db.connect() as connection:
        text = connection.scalar(sa.text("SELECT sqlite_version()"))
    assert ".".join(map(str, db.dialect.server_version_info)) == text


def test_returning_follows_the_engine(items):
    with items.begin() as connection:
        server = connection.connection.dbapi_connection.server
        usable = server.flavour.returning != "refused"
        dialect = items.dialect
        assert dialect.insert_returning is dialect.update_returning is usable
        assert dialect.insert_executemany_returning is usable
        result = connection.execute(ITEMS.insert(), {"name": "x"})
        assert result.inserted_primary_key == (1,)


def test_upsert(items):
    row = insert(ITEMS).values(id=1, name="old")
    with items.begin() as connection:
        connection.execute(row)
        connection.execute(row.on_conflict_do_nothing())
        update = {"name": row.excluded.name + "er"}
        connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=update))
    assert names(items) == ["older"]


def test_replacing_rows(items):
    with items.begin() as connection:
        connection.execute(ITEMS.insert(), {"id": 1, "name": "old"})
        replace = ITEMS.insert().prefix_with("OR REPLACE")
        connection.execute(replace, [{"id": 1, "name": "new"}, {"id": 2, "name": "two"}])
    assert names(items) == ["new", "two"]


def test_upsert_of_many(items):
    rows = [{"id": number, "name": f"{number:03}"} for number in range(1, 101)]
    statement = insert(ITEMS)
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_={"name": "n" + statement.excluded.name}
    )
    with items.begin() as connection:
        connection.execute(statement, rows)
        connection.execute(statement, rows[:50])
    assert names(items) == [f"{n:03}" for n in range(51, 101)] + [f"n{n:03}" for n in range(1, 51)]


def test_many_rows_in_one_statement(items):
    rows = [{"id": number, "name": str(number)} for number in range(1, 501)]
    with items.begin() as connection:
        connection.execute(ITEMS.insert(), rows)
        result = connection.execute(ITEMS.update().values(parent=1))
        assert result.rowcount == 500
    with items.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(ITEMS)) == 500


def test_errors_keep_the_drivers_attributes(items):
    with items.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql("SELECT * FROM nothing")
    assert caught.value.orig.is_disconnect is False
    assert caught.value.connection_invalidated is False


def test_a_closed_driver_connection_is_a_disconnect(make_engine):
    db = make_engine(pool_pre_ping=True, pool_size=1, max_overflow=0)
    with db.connect() as connection:
        connection.connection.dbapi_connection.close()
        with pytest.raises(DBAPIError) as caught:
            connection.execute(sa.text("SELECT 1"))
        assert caught.value.connection_invalidated
    with db.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_ping(db):
    driver_connection = db.raw_connection()
    assert db.dialect.do_ping(driver_connection.dbapi_connection)
    driver_connection.close()
