"""Execution options, pool and driver connection, of the blocking and the asyncio dialect."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError

ITEMS = sa.Table(
    "items",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20)),
)


@pytest.fixture(params=["dqlite", "dqlite+aio", "sqlite+dqlite", "sqlite+aiodqlite"])
def scheme(request):
    return request.param


@pytest.fixture
def items(make_engine):
    """An engine with one connection, and a table with one row."""
    engine = make_engine(pool_size=1, max_overflow=0)
    ITEMS.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(ITEMS.insert(), {"name": "old"})
    return engine


def is_open(connection):
    return connection.connection.dbapi_connection.in_transaction


def read(connection):
    return connection.scalars(sa.select(ITEMS.c.name)).all()


def test_transactions_begin_with_the_first_write(items):
    with items.connect() as connection:
        assert read(connection) == ["old"]
        assert not is_open(connection)
        connection.execute(ITEMS.update().values(name="new"))
        assert is_open(connection)


@pytest.mark.parametrize("mode", ["deferred", "immediate", "exclusive"])
def test_begin_mode(items, mode):
    with items.connect().execution_options(dqlite_begin=mode) as connection:
        read(connection)
        assert is_open(connection)
    with items.connect() as connection:
        read(connection)
        assert not is_open(connection)


def test_immediate_keeps_other_writers_out(items, make_engine):
    other = make_engine("&busy_timeout=0.1")
    with items.connect().execution_options(dqlite_begin="immediate") as connection:
        read(connection)
        with other.connect() as writer, pytest.raises(OperationalError) as caught:
            writer.execute(ITEMS.insert(), {"name": "late"})
    assert caught.value.orig.is_retryable
    assert not caught.value.connection_invalidated


def test_begin_mode_of_an_engine(items):
    with items.execution_options(dqlite_begin="immediate").connect() as connection:
        read(connection)
        assert is_open(connection)


def test_read_only(items, make_engine):
    other = make_engine()
    with items.connect().execution_options(dqlite_read_only=True) as connection:
        assert read(connection) == ["old"]
        with other.begin() as writer:
            writer.execute(ITEMS.update().values(name="new"))
        assert read(connection) == ["old"]
        with pytest.raises(DBAPIError):
            connection.execute(ITEMS.insert(), {"name": "never"})
        connection.rollback()
        assert read(connection) == ["new"]
    with items.begin() as connection:
        connection.execute(ITEMS.insert(), {"name": "again"})
        assert read(connection) == ["new", "again"]


def test_linearizable_reads(items):
    with items.connect() as connection:
        statement = sa.select(ITEMS.c.name)
        strict = statement.execution_options(dqlite_consistency="linearizable")
        assert connection.scalars(strict).all() == ["old"]
        assert not is_open(connection)
        connection.execution_options(dqlite_consistency="linearizable")
        assert connection.scalars(statement).all() == ["old"]


def test_stale_reads(items, make_engine):
    other = make_engine()
    with items.connect().execution_options(dqlite_staleness=3600) as connection:
        first = read(connection)
        with other.begin() as writer:
            writer.execute(ITEMS.update().values(name="new"))
        assert read(connection) == first
        fresh = sa.select(ITEMS.c.name).execution_options(dqlite_consistency="leader")
        assert connection.scalars(fresh).all() == ["new"]
    with items.connect() as connection:
        assert read(connection) == ["new"]


def test_staleness_of_a_statement(items, make_engine):
    statement = sa.select(ITEMS.c.name)
    with items.connect() as connection:
        old = connection.scalars(statement, execution_options={"dqlite_staleness": 60}).all()
        with make_engine().begin() as writer:
            writer.execute(ITEMS.update().values(name="new"))
        for staleness, expected in ((60, old), (0, None)):
            options = {"dqlite_staleness": staleness}
            found = connection.scalars(statement, execution_options=options).all()
            assert found == expected or expected is None
        assert read(connection) == ["new"]


@pytest.mark.parametrize(
    "options",
    [
        {"dqlite_begin": "later"},
        {"dqlite_read_only": "yes"},
        {"dqlite_exactly_once": "often"},
        {"dqlite_staleness": -1},
        {"dqlite_consistency": "eventual"},
    ],
)
def test_bad_options(items, options):
    with items.connect() as connection, pytest.raises(ArgumentError):
        read(connection.execution_options(**options))


def test_options_are_for_the_start_of_a_transaction(items):
    with items.connect() as connection:
        read(connection)
        with pytest.raises(sa.exc.InvalidRequestError):
            connection.execution_options(dqlite_begin="immediate")


def test_exactly_once_leaves_a_token(items):
    with items.connect().execution_options(dqlite_exactly_once=True) as connection:
        connection.execute(ITEMS.insert(), {"name": "once"})
        connection.commit()
    with items.connect() as connection:
        connection.execute(ITEMS.insert(), {"name": "plain"})
        connection.commit()
        tokens = connection.scalar(sa.text("SELECT count(*) FROM dqlite_transactions"))
    assert tokens == 1


def test_isolation_levels(items):
    with items.connect() as connection:
        for level in ("READ UNCOMMITTED", "AUTOCOMMIT", "SERIALIZABLE"):
            connection.execution_options(isolation_level=level)
            assert connection.get_isolation_level() == level
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(ITEMS.insert(), {"name": "at once"})
        connection.rollback()
        assert read(connection) == ["old", "at once"]
    with items.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"


def test_returning_in_autocommit(items):
    with items.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        flavour = connection.connection.dbapi_connection.server.flavour
        if flavour.returning == "refused":
            with pytest.raises(DBAPIError):
                connection.execute(ITEMS.insert().returning(ITEMS.c.id), {"name": "x"})
        else:
            statement = ITEMS.insert().returning(ITEMS.c.id)
            assert connection.scalar(statement, {"name": "x"}) == 2


def test_many_rows_go_in_few_statements(items):
    sent = []
    sa.event.listen(items, "before_cursor_execute", lambda *args: sent.append(args[2]))
    with items.begin() as connection:
        connection.execute(ITEMS.insert(), [{"name": str(number)} for number in range(200)])
        assert connection.scalar(sa.select(sa.func.count()).select_from(ITEMS)) == 201
    assert len([text for text in sent if text.startswith("INSERT")]) < 5


def test_a_schema_is_another_database(items):
    elsewhere = sa.Table("items", sa.MetaData(), sa.Column("id", sa.Integer), schema="other")
    with items.connect() as connection:
        for statement in (sa.select(elsewhere), sa.schema.CreateTable(elsewhere)):
            with pytest.raises(DBAPIError) as caught:
                connection.execute(statement)
            assert isinstance(caught.value.orig, connection.dialect.loaded_dbapi.NotSupportedError)
            connection.rollback()
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("ATTACH 'other.db' AS other")
        connection.rollback()
        connection.execution_options(schema_translate_map={"other": None})
        assert connection.scalars(sa.select(elsewhere.c.id)).all() == [1]


def test_main_is_a_schema(items):
    main = ITEMS.to_metadata(sa.MetaData(), schema="main")
    with items.connect() as connection:
        assert connection.scalars(sa.select(main.c.name)).all() == ["old"]
    inspector = sa.inspect(items)
    assert inspector.get_schema_names() == ["main"]
    assert not inspector.has_table("items", schema="other")


def test_streaming(items):
    with items.begin() as connection:
        connection.execute(ITEMS.insert(), [{"name": "x" * 50} for _ in range(2000)])
    with items.connect() as connection:
        result = connection.execution_options(yield_per=100).execute(sa.select(ITEMS.c.id))
        assert next(iter(result)) == (1,)
        assert read(connection)[:1] == ["old"]
        assert sum(1 for _ in result) == 2000


def test_raw_connections(items):
    raw = items.raw_connection()
    with pytest.raises(items.dialect.loaded_dbapi.IntegrityError):
        raw.dbapi_connection.execute("INSERT INTO items VALUES (1, 'twice')")
    raw.rollback()
    assert raw.dbapi_connection.server.address
    raw.close()


def test_errors_have_sqlalchemys_classes(items):
    with items.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(ITEMS.insert(), {"id": 1})
