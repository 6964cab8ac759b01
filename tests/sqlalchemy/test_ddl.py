"""Type names and table options in DDL."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

SPECIAL_TO_THE_SERVER = {"BOOLEAN", "DATE", "DATETIME", "TIMESTAMP"}
VALUES = {
    "flag": (sa.Boolean, True),
    "day": (sa.Date, date(2024, 2, 29)),
    "moment": (sa.DateTime, datetime(2024, 2, 29, 13, 14, 15, 678901)),
    "stamp": (sa.TIMESTAMP, datetime(1, 1, 1, 0, 0, 0, 1)),
    "clock": (sa.Time, time(23, 59, 59, 5)),
    "span": (sa.Interval, timedelta(days=3, microseconds=7)),
    "price": (sa.Numeric(12, 2), Decimal("12.50")),
    "ratio": (sa.Double, 0.1),
    "whole": (sa.BigInteger, -(2**63)),
    "label": (sa.String(20), "Zoë \U0001f600"),
    "blob": (sa.LargeBinary, b"\0\xff"),
    "kind": (sa.Enum("red", "green", name="kind"), "green"),
    "data": (sa.JSON, {"a": [1, None, "x"]}),
    "token": (sa.Uuid, UUID(int=7)),
}


@pytest.fixture
def table():
    columns = [sa.Column(name, kind) for name, (kind, _) in VALUES.items()]
    return sa.Table(
        "values", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *columns
    )


def test_no_column_is_declared_as_a_type_the_server_converts(db, table):
    table.metadata.create_all(db)
    with db.connect() as connection:
        declared = connection.exec_driver_sql('PRAGMA table_info("values")').all()
    assert not {row[2].upper() for row in declared} & SPECIAL_TO_THE_SERVER


def test_values_come_back(db, table):
    row = {name: value for name, (_, value) in VALUES.items()}
    table.metadata.create_all(db)
    with db.begin() as connection:
        connection.execute(table.insert(), row)
        assert dict(connection.execute(sa.select(table)).mappings().one()) == {"id": 1, **row}


def test_nulls_come_back(db, table):
    row = dict.fromkeys(VALUES, sa.null())
    table.metadata.create_all(db)
    with db.begin() as connection:
        connection.execute(table.insert().values(row))
        assert set(connection.execute(sa.select(table)).one()[1:]) == {None}


def test_digits_stay_text_in_date_columns(db):
    days = sa.Table("days", sa.MetaData(), sa.Column("day", sa.Date))
    days.metadata.create_all(db)
    with db.begin() as connection:
        connection.exec_driver_sql("INSERT INTO days VALUES ('2020')")
        kind = connection.scalar(sa.select(sa.func.typeof(days.c.day)))
    assert kind == "text"


def test_cast_to_datetime_keeps_the_text(db):
    moment = datetime(2024, 2, 29, 13, 14, 15)
    with db.connect() as connection:
        assert connection.scalar(sa.select(sa.cast(moment, sa.DateTime))) == moment


@pytest.mark.parametrize("prefix", ["sqlite", "dqlite"])
def test_table_options_by_either_prefix(db, prefix):
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False, **{f"{prefix}_on_conflict_not_null": "IGNORE"}),
        sa.UniqueConstraint("n", name="uq", **{f"{prefix}_on_conflict": "REPLACE"}),
        **{f"{prefix}_with_rowid": False, f"{prefix}_strict": True},
    )
    text = str(CreateTable(table).compile(db))
    for part in ("WITHOUT ROWID", "STRICT", "ON CONFLICT IGNORE", "ON CONFLICT REPLACE"):
        assert part in text


@pytest.mark.parametrize("prefix", ["sqlite", "dqlite"])
def test_partial_index_by_either_prefix(db, prefix):
    table = sa.Table("t", sa.MetaData(), sa.Column("n", sa.Integer))
    index = sa.Index("i", table.c.n, **{f"{prefix}_where": table.c.n > 5})
    assert "WHERE n > 5" in str(CreateIndex(index).compile(db))


def test_dqlite_options_do_not_leak_to_sqlite(db):
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", sa.Integer), dqlite_strict=True, sqlite_strict=False
    )
    assert "STRICT" in str(CreateTable(table).compile(db))
    assert "STRICT" not in str(CreateTable(table).compile(dialect=sqlite.dialect()))


@pytest.mark.parametrize("kind", [sa.BigInteger, sa.SmallInteger, sa.Integer])
def test_keys_count_up_whatever_their_size(db, kind):
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", kind, primary_key=True), sa.Column("n", kind)
    )
    table.create(db)
    with db.begin() as connection:
        assert connection.execute(table.insert(), {"n": 1}).inserted_primary_key == (1,)
        assert connection.execute(table.insert(), {"n": 1}).inserted_primary_key == (2,)
    wide = sa.Table(
        "w", sa.MetaData(), sa.Column("id", kind, primary_key=True, autoincrement=False)
    )
    assert str(CreateTable(wide).compile(db)).count("INTEGER") == (kind is sa.Integer)


def test_json_paths(db):
    table = sa.Table("t", sa.MetaData(), sa.Column("data", sa.JSON))
    table.create(db)
    with db.begin() as connection:
        connection.execute(table.insert(), [{"data": {"a": {"b": [1, "two", None]}}}, {"data": 5}])
        path = table.c.data[("a", "b", 1)]
        assert connection.scalars(sa.select(path.as_string())).all() == ["two", None]
        assert connection.scalars(sa.select(table.c.data)).all()[1] == 5
        assert connection.scalar(sa.select(sa.func.json_array_length(table.c.data, "$.a.b"))) == 3


def test_wrong_values_do_not_reach_the_server(db):
    table = sa.Table("t", sa.MetaData(), sa.Column("f", sa.Boolean), sa.Column("d", sa.DateTime))
    table.create(db)
    with db.connect() as connection:
        for row in ({"f": "text"}, {"d": 1.5}):
            with pytest.raises(sa.exc.StatementError):
                connection.execute(table.insert(), row)
        connection.exec_driver_sql("INSERT INTO t VALUES ('text', 1.5)")
        assert connection.exec_driver_sql("SELECT * FROM t").one() == ("text", "1.5")


def test_autoincrement_option(db):
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True),
        dqlite_autoincrement=True,
    )
    table.create(db)
    with db.begin() as connection:
        for _ in range(2):
            connection.execute(table.insert())
            connection.execute(table.delete())
        assert connection.execute(table.insert()).inserted_primary_key == (3,)
