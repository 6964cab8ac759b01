"""Every kind and size of value on a real member: parameters, rows, declared types, descriptions."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqlite_dbapi import types
from dqlite_dbapi.errors import NotSupportedError, ProgrammingError
from dqlite_dbapi.types import PARSE_COLNAMES, PARSE_DECLTYPES, PrepareProtocol

UTC = dt.timezone.utc
DAY = dt.date(2026, 11, 24)
NOON = dt.datetime(2026, 11, 24, 12, 30, 15, 250)


class Conforming:
    def __conform__(self, protocol):
        return "1;2" if protocol is PrepareProtocol else None


class Level(enum.IntEnum):
    HIGH = 3


class Colour(str, enum.Enum):
    RED = "red"


class Shape(enum.Enum):
    ROUND = "round"


CLEAN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
EDGES = [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
INT64 = st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False) | st.sampled_from([5e-324, 2.2250738585072014e-308, -0.0])
VALUES = st.none() | INT64 | FLOATS | CLEAN | st.binary()
MEMBER = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def same(found, value):
    """Equal, of one type, and of one sign where both are zero."""
    alike = type(found) is type(value) and found == value
    return alike and (
        type(value) is not float or math.copysign(1, found) == math.copysign(1, value)
    )


@MEMBER
@given(values=st.lists(VALUES, min_size=1, max_size=40))
def test_values_come_back_as_they_went(connection, values):
    row = connection.execute(f"SELECT {', '.join('?' * len(values))}", values).fetchone()
    assert all(map(same, row, values))


@MEMBER
@given(row=st.tuples(INT64, FLOATS, CLEAN, st.binary(), VALUES))
def test_stored_values_come_back_as_they_went(connection, row):
    connection.execute("CREATE TABLE s (i INTEGER, r REAL, t TEXT, b BLOB, v)")
    connection.execute("INSERT INTO s VALUES (?, ?, ?, ?, ?)", row)
    found = connection.execute("SELECT * FROM s").fetchone()
    connection.rollback()
    assert [type(value) for value in found] == [type(value) for value in row]
    assert found == row


@MEMBER
@given(st.datetimes(timezones=st.none() | st.just(UTC)), st.dates(), st.times(), st.booleans())
def test_dates_and_booleans_come_back_as_they_went(connect, moment, day, clock, flag):
    connection = connect(detect_types=PARSE_DECLTYPES)
    connection.execute("CREATE TABLE d (m TIMESTAMP, d DATE, c TEXT, f BOOLEAN)")
    connection.execute("INSERT INTO d VALUES (?, ?, ?, ?)", (moment, day, clock, flag))
    row = connection.execute("SELECT * FROM d").fetchone()
    connection.rollback()
    connection.close()
    assert row == (moment, day, clock.isoformat(), flag)
    assert row[3] is flag


def test_nan_is_null(connection):
    assert connection.execute("SELECT ?", (math.nan,)).fetchone() == (None,)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Level.HIGH, (3, "integer")),
        (Colour.RED, ("red", "text")),
        (True, (1, "integer")),
        (bytearray(b"ab"), (b"ab", "blob")),
        (memoryview(b"abcd")[::2], (b"ac", "blob")),
        (types.Binary(b"ab"), (b"ab", "blob")),
        (types.Date(2026, 11, 24), ("2026-11-24", "text")),
        (types.Time(1, 2, 3), ("01:02:03", "text")),
        (types.Timestamp(2026, 11, 24, 1, 2, 3), ("2026-11-24 01:02:03", "text")),
        (Conforming(), ("1;2", "text")),
        (b"", (b"", "blob")),
        ("", ("", "text")),
    ],
)
def test_parameters_of_other_types(connection, value, stored):
    assert connection.execute("SELECT ?1, typeof(?1)", (value,)).fetchone() == stored
    assert connection.execute("SELECT :v, typeof(:v)", {"v": value}).fetchone() == stored


@pytest.mark.parametrize("value", [Decimal("1.5"), uuid.UUID(int=5), Shape.ROUND, 1j, object()])
def test_types_without_adapter_are_refused_and_nothing_is_sent(connection, value):
    with pytest.raises(ProgrammingError):
        connection.execute("SELECT ?", (value,))
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_adapters_and_converters_belong_to_one_connection(connect):
    connection, other = connect(detect_types=PARSE_COLNAMES), connect(detect_types=PARSE_COLNAMES)
    connection.register_adapter(Decimal, str)
    connection.register_converter("decimal", lambda raw: Decimal(raw.decode()))
    query = 'SELECT ? AS "price [decimal]"'
    cursor = connection.execute(query, (Decimal("1.50"),))
    assert cursor.description[0][0] == "price"
    assert cursor.fetchall() == [(Decimal("1.50"),)]
    assert other.execute(query, ("1.50",)).fetchall() == [("1.50",)]
    with pytest.raises(ProgrammingError):
        other.execute(query, (Decimal("1.50"),))


@pytest.mark.parametrize(
    ("expression", "type_object"),
    [("1", types.NUMBER), ("2.5", types.NUMBER), ("'x'", types.STRING), ("x'00'", types.BINARY)],
)
def test_descriptions_tell_the_types_of_the_first_row(connection, expression, type_object):
    assert connection.execute(f"SELECT {expression}").description[0][1] == type_object


def test_descriptions_of_declared_columns(connection):
    connection.execute("CREATE TABLE d (m TIMESTAMP, f BOOLEAN, t TEXT)")
    assert [column[1] for column in connection.execute("SELECT * FROM d").description] == [None] * 3
    connection.execute("INSERT INTO d VALUES ('2026-11-24', 1, NULL), (12, 0, 'x')")
    cursor = connection.execute("SELECT m, f, t FROM d")
    assert cursor.description[0][1] == types.DATETIME
    assert cursor.description[1][1] == types.NUMBER
    assert cursor.fetchall() == [("2026-11-24", 1, None), (12, 0, "x")]


def test_texts_integers_and_nulls_are_mixed_in_a_declared_column(connect):
    connection = connect(detect_types=PARSE_DECLTYPES)
    connection.execute("CREATE TABLE d (m TIMESTAMP)")
    connection.execute("INSERT INTO d VALUES (NULL), (0), ('2026-11-24'), (?)", (NOON,))
    found = [row[0] for row in connection.execute("SELECT m FROM d ORDER BY rowid")]
    assert found == [None, dt.datetime(1970, 1, 1, tzinfo=UTC), DAY, NOON]


# -- on a member: sizes


def test_64_mib_of_text_and_of_blob(connect):
    """libdqlite 1.11 reads what is so big only outside of the transaction that wrote it."""
    connection = connect(timeout=100)
    text, blob = "é" * (32 << 20), b"\xff\0" * (32 << 20)
    connection.execute("CREATE TABLE big (t, b)")
    connection.execute("INSERT INTO big VALUES (?, ?)", (text, blob))
    connection.commit()
    found = connection.execute("SELECT t, b FROM big").fetchone()
    assert found[0] == text
    assert found[1] == blob


@pytest.mark.parametrize("columns", [1, 16, 17, 33, 255, 509])
def test_wide_rows(connection, columns):
    """509 is the most: each name takes eight bytes at least (server-hazards H14)."""
    query = "SELECT " + ", ".join(f"{n} AS c{n % 10}" for n in range(columns))
    cursor = connection.execute(f"{query} UNION ALL {query}")
    assert len(cursor.description) == columns
    assert cursor.fetchall() == [tuple(range(columns))] * 2


def test_a_table_of_2000_columns_is_read_in_slices(connection):
    names = [f"c{n}" for n in range(2000)]
    connection.execute(f"CREATE TABLE wide ({', '.join(names)})")
    connection.execute(f"INSERT INTO wide VALUES ({', '.join(map(str, range(2000)))})")
    found = []
    for start in range(0, 2000, 500):
        query = f"SELECT {', '.join(names[start : start + 500])} FROM wide"
        found += connection.execute(query).fetchone()
    assert found == list(range(2000))


@pytest.mark.parametrize("count", [255, 256, 32766, 40_000])
def test_as_many_parameters_as_the_engine_can(connection, count):
    query = _in_list(count)
    if count <= 255 or connection.server.flavour.wide_params:
        assert connection.execute(query, range(count)).fetchone() == (count,)
    else:
        with pytest.raises((NotSupportedError, ProgrammingError)):
            connection.execute(query, range(count))
        assert connection.execute("SELECT 1").fetchone() == (1,)


def _in_list(count):
    places = ", ".join("(?)" for _ in range(count))
    return f"WITH v(n) AS (VALUES {places}) SELECT count(*) FROM v"
