"""What CPython's tests of `sqlite3` (test_types) ask that dqlite can answer.

Adapters and converters belong to one connection here; declared types other than dates and booleans
do not reach the client. See docs/reference/differences-from-sqlite3.md.
"""

from __future__ import annotations

import datetime
import sqlite3
import zlib

import pytest

from dqlite_dbapi import (
    PARSE_COLNAMES,
    PARSE_DECLTYPES,
    DataError,
    PrepareProtocol,
    ProgrammingError,
)

DAY = datetime.date(2004, 2, 14)
MOMENT = datetime.datetime(2004, 2, 14, 7, 15)


def one(connection, sql, *parameters):
    """The only value of a query."""
    ((value,),) = connection.execute(sql, parameters).fetchall()
    return value


# -- storage classes


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("s", "Österreich", "Österreich"),
        ("i", 42, 42),
        ("i", 123456789123456789, 123456789123456789),
        ("f", 3.14, 3.14),
        ("b", memoryview(b"Guglhupf"), b"Guglhupf"),
        ("b", bytearray(b"Guglhupf"), b"Guglhupf"),
        ("b", b"", b""),
        ("s", None, None),
    ],
)
def test_values_come_back(connection, column, value, expected):
    connection.execute("CREATE TABLE test (i INTEGER, s VARCHAR, f NUMBER, b BLOB)")
    connection.execute(f"INSERT INTO test ({column}) VALUES (?)", (value,))
    assert one(connection, f"SELECT {column} FROM test") == expected


def test_text_in_the_statement(connection):
    assert one(connection, "SELECT 'Österreich'") == "Österreich"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, "\ud8ff", "a\0b"])
def test_values_that_cannot_be_sent(connection, value):
    connection.execute("CREATE TABLE test (a)")
    with pytest.raises(DataError):
        connection.execute("INSERT INTO test VALUES (?)", (value,))
    assert one(connection, "SELECT count(*) FROM test") == 0


@pytest.mark.parametrize("base", [str, int, float, bytes])
def test_subclasses_of_native_types(connection, base):
    value = type("Special", (base,), {})(base())
    found = one(connection, "SELECT ?", value)
    assert (type(found), found) == (base, value)


# -- adapters and __conform__


class Conforming:
    """Stored by what it says of itself, to either module's protocol."""

    def __init__(self, value, protocols=(PrepareProtocol, sqlite3.PrepareProtocol)):
        self.value = value
        self.protocols = protocols

    def __conform__(self, protocol):
        if protocol in self.protocols:
            if isinstance(self.value, type):
                raise self.value
            return self.value
        return None


class Unknown:
    """Stored by nothing."""


@pytest.mark.parametrize("protocol", [PrepareProtocol, sqlite3.PrepareProtocol])
def test_conform(connection, protocol):
    assert one(connection, "SELECT ?", Conforming("bla", [protocol])) == "bla"


@pytest.mark.parametrize("parameters", [lambda x: (x,), lambda x: {"v": x}])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Unknown(), ProgrammingError),
        (Conforming(Unknown()), ProgrammingError),
        (Conforming(1, []), ProgrammingError),
        (Conforming(ZeroDivisionError), ZeroDivisionError),
    ],
)
def test_what_cannot_be_adapted(connection, value, error, parameters):
    given = parameters(value)
    with pytest.raises(error):
        connection.execute(f"SELECT {'?' if isinstance(given, tuple) else ':v'}", given)
    assert one(connection, "SELECT 1") == 1


def test_an_adapter_of_a_native_type(connect):
    connection, other = connect(), connect()
    connection.register_adapter(int, float)
    assert type(one(connection, "SELECT ?", 4)) is float
    assert type(one(other, "SELECT ?", 4)) is int


def test_an_adapter_serves_subclasses(connection):
    connection.register_adapter(Unknown, lambda value: "adapted")
    assert one(connection, "SELECT ?", type("Derived", (Unknown,), {})()) == "adapted"


def test_an_adapter_may_change_the_parameters_meanwhile(connection):
    parameters = [Unknown(), 0]

    def adapt(value):
        parameters.clear()
        return "..."

    connection.register_adapter(Unknown, adapt)
    assert connection.execute("SELECT ?, ?", parameters).fetchone() == ("...", 0)
    assert parameters == []


@pytest.mark.parametrize(("kind", "adapter"), [({}, None), (int, 3), ("int", str)])
def test_adapters_that_are_none(connection, kind, adapter):
    with pytest.raises(ProgrammingError):
        connection.register_adapter(kind, adapter)


# -- converters by column name


@pytest.fixture
def named(connect):
    """A connection with converters by name, and a table with one row of three values."""
    connection = connect(detect_types=PARSE_COLNAMES)
    connection.register_converter("BAR", lambda value: f"<{value.decode()}>")
    connection.register_converter("bin", zlib.decompress)
    connection.register_converter("exc", lambda value: 5 / 0)
    connection.execute("CREATE TABLE test (x bar, n, d DATE)")
    connection.execute("INSERT INTO test VALUES ('xxx', NULL, '2004-02-14')")
    return connection


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("x", "xxx", "x"),
        ("d", "2004-02-14", "d"),
        ('x AS "x y [bar]"', "<xxx>", "x y"),
        ('x AS "x [BaR]"', "<xxx>", "x"),
        ('x AS "x[bar]"', "<xxx>", "x"),
        ('x AS "x [nothing]"', "xxx", "x"),
        ('n AS "n [bar]"', None, "n"),
        ('5 AS "five [bar]"', "<5>", "five"),
        ('d AS "d [date]"', DAY, "d"),
        ("'2004-02-14 07:15:00' AS \"t [timestamp]\"", MOMENT, "t"),
    ],
)
def test_converters_by_column_name(named, column, value, name):
    cursor = named.execute(f"SELECT {column} FROM test")
    assert cursor.description[0][0] == name
    assert cursor.fetchone() == (value,)


def test_a_converter_is_given_the_bytes(named):
    data = b"abcdefg" * 10
    assert one(named, 'SELECT ? AS "x [bin]"', memoryview(zlib.compress(data))) == data


def test_a_converter_that_fails(named):
    cursor = named.execute('SELECT 1 AS "x [exc]"')
    with pytest.raises(ZeroDivisionError):
        cursor.fetchone()
    assert one(named, "SELECT 1") == 1


def test_names_without_rows(named):
    assert named.execute("SELECT * FROM test WHERE 0").description[0][0] == "x"
    assert named.execute("INSERT INTO test (x) VALUES (1)").description is None


def test_names_in_brackets_mean_nothing_by_default(connection):
    cursor = connection.execute('SELECT 1 AS "x [bar]"')
    assert cursor.description[0][0] == "x [bar]"


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("WITH one AS (SELECT 1) SELECT * FROM one", "1"),
        ("WITH c AS (SELECT * FROM test) SELECT * FROM c", "x"),
        ("WITH c AS (SELECT * FROM test) SELECT * FROM test WHERE x = 'none'", "x"),
    ],
)
def test_names_of_common_table_expressions(named, sql, name):
    assert named.execute(sql).description[0][0] == name


# -- dates by declared type


@pytest.fixture
def dated(connect):
    connection = connect(detect_types=PARSE_DECLTYPES)
    connection.execute("CREATE TABLE test (d DATE, ts TIMESTAMP, b BOOLEAN)")
    return connection


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("d", DAY),
        ("ts", MOMENT),
        ("ts", MOMENT.replace(microsecond=500000)),
        ("ts", MOMENT.replace(microsecond=510241)),
        ("ts", MOMENT.replace(tzinfo=datetime.timezone.utc)),
        ("b", True),
        ("b", False),
        ("ts", None),
    ],
)
def test_dates_and_booleans_come_back(dated, column, value):
    dated.execute(f"INSERT INTO test ({column}) VALUES (?)", (value,))
    found = one(dated, f"SELECT {column} FROM test")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("'2012-04-04 15:06:00.456'", datetime.datetime(2012, 4, 4, 15, 6, 0, 456000)),
        ("'2012-04-04 15:06:00.123456789'", datetime.datetime(2012, 4, 4, 15, 6, 0, 123456)),
        ("'2012-04-04T15:06:00'", datetime.datetime(2012, 4, 4, 15, 6)),
    ],
)
def test_timestamps_as_others_write_them(dated, stored, expected):
    dated.execute(f"INSERT INTO test (ts) VALUES ({stored})")
    assert one(dated, "SELECT ts FROM test") == expected


def test_the_server_s_own_clock(dated):
    dated.execute("INSERT INTO test (ts) VALUES (current_timestamp)")
    found = one(dated, "SELECT ts FROM test")
    assert abs(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - found) < (
        datetime.timedelta(minutes=5)
    )


def test_a_converter_of_one_s_own_for_dates(dated):
    dated.register_converter("date", lambda value: value.decode().split("-"))
    dated.execute("INSERT INTO test (d) VALUES (?)", (DAY,))
    assert one(dated, "SELECT d FROM test") == ["2004", "02", "14"]


def test_the_declared_type_is_looked_at_anew(dated):
    dated.execute("INSERT INTO test (ts) VALUES (?)", (MOMENT,))
    assert one(dated, "SELECT ts FROM test") == MOMENT
    dated.execute("DROP TABLE test")
    dated.execute("CREATE TABLE test (ts INTEGER)")
    dated.execute("INSERT INTO test VALUES (5)")
    assert one(dated, "SELECT ts FROM test") == 5


def test_dates_are_text_by_default(connection):
    connection.execute("CREATE TABLE test (d DATE, ts TIMESTAMP, t TIME)")
    row = (DAY, MOMENT, datetime.time(7, 15))
    connection.execute("INSERT INTO test VALUES (?, ?, ?)", row)
    found = connection.execute("SELECT * FROM test").fetchone()
    assert found == ("2004-02-14", "2004-02-14 07:15:00", "07:15:00")
