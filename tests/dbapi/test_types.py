"""Types: PEP 249's objects, adapters and converters alone, then every value on a real member."""

from __future__ import annotations

import datetime as dt
import enum
import pathlib
import sqlite3
from contextlib import closing

import pytest

from dqlite_dbapi import types
from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.types import (
    PARSE_COLNAMES,
    PARSE_DECLTYPES,
    Adapters,
    Converters,
    PrepareProtocol,
)
from dqlite_dbapi.wire.constants import ValueType

UTC = dt.timezone.utc
DAY = dt.date(2026, 11, 24)
NOON = dt.datetime(2026, 11, 24, 12, 30, 15, 250)
INTEGER, TEXT, NULL, UNIXTIME, ISO8601, BOOLEAN = 1, 3, 5, 9, 10, 11
BOTH = PARSE_DECLTYPES | PARSE_COLNAMES


# -- type objects


@pytest.mark.parametrize("as_code", [int, ValueType])
@pytest.mark.parametrize(
    ("type_object", "codes"),
    [
        (types.STRING, {3}),
        (types.BINARY, {4}),
        (types.NUMBER, {1, 2, 11}),
        (types.DATETIME, {9, 10}),
        (types.ROWID, {1}),
    ],
)
def test_type_objects_equal_codes_from_either_side(type_object, codes, as_code):
    assert {int(code) for code in ValueType if type_object == as_code(code)} == codes
    assert {int(code) for code in ValueType if as_code(code) == type_object} == codes


def test_type_objects_equal_themselves_and_no_other():
    everything = [types.STRING, types.BINARY, types.NUMBER, types.DATETIME, types.ROWID]
    assert [everything.count(one) for one in everything] == [1] * 5
    assert (types.STRING != types.STRING) is False
    assert types.NUMBER not in (None, "INTEGER", 2.5, object())


# -- adapters


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


class Conforming(Point):
    def __conform__(self, protocol):
        return f"{self.x};{self.y}" if protocol is PrepareProtocol else None


class ConformingToSqlite3(Point):
    def __conform__(self, protocol):
        return f"{self.x}|{self.y}" if protocol is sqlite3.PrepareProtocol else None


class Later(dt.datetime):
    pass


class Level(enum.IntEnum):
    HIGH = 3


class Colour(str, enum.Enum):
    RED = "red"


class Shape(enum.Enum):
    ROUND = "round"


@pytest.mark.parametrize(
    ("value", "adapted"),
    [
        (DAY, "2026-11-24"),
        (NOON, "2026-11-24 12:30:15.000250"),
        (NOON.replace(tzinfo=UTC, microsecond=0), "2026-11-24 12:30:15+00:00"),
        (NOON.time(), "12:30:15.000250"),
        (Later(2026, 1, 2), "2026-01-02 00:00:00"),
        (Conforming(1, 2), "1;2"),
        (ConformingToSqlite3(1, 2), "1|2"),
        (Level.HIGH, Level.HIGH),
        (Colour.RED, Colour.RED),
        (True, True),
        (b"x", b"x"),
        (None, None),
        (Shape.ROUND, Shape.ROUND),
    ],
)
def test_adapters_of_a_new_connection(value, adapted):
    adapters = Adapters()
    found = adapters.adapt(value)
    assert (type(found), found) == (type(adapted), adapted)
    assert list(adapters.adapt_all([1, value])) == [1, adapted]


@pytest.mark.parametrize(
    ("kind", "value", "adapted"),
    [
        (Point, Point(1, 2), "seen"),
        (Point, Conforming(1, 2), "1;2"),
        (pathlib.Path, pathlib.Path("/a"), "seen"),
        (enum.Enum, Shape.ROUND, "seen"),
        (enum.Enum, Level.HIGH, Level.HIGH),
        (int, 5, "seen"),
        (int, True, True),
        (str, "x", "seen"),
        (type(None), None, "seen"),
        (dt.date, DAY, "seen"),
        (dt.date, NOON, "2026-11-24 12:30:15.000250"),
    ],
)
def test_registered_adapters(kind, value, adapted):
    adapters = Adapters()
    adapters.register(kind, lambda value: "seen")
    assert adapters.adapt(value) == adapted
    assert list(adapters.adapt_all([value])) == [adapted]
    assert list(Adapters({kind: lambda value: "seen"}).adapt_all([value])) == [adapted]


def test_adapters_are_of_one_connection():
    Adapters().register(Point, lambda point: "elsewhere")
    point = Point(1, 2)
    assert Adapters().adapt(point) is point


def test_native_parameters_are_not_even_copied():
    values = [1, 2.5, "x", b"y", None, True]
    assert Adapters().adapt_all(values) is values


@pytest.mark.parametrize(("kind", "adapter"), [("int", str), (int, "str"), (int, None)])
def test_an_adapter_needs_a_type_and_a_callable(kind, adapter):
    with pytest.raises(ProgrammingError):
        Adapters().register(kind, adapter)


# -- converters


def convert(value, *, name="x", code=None, detect=BOTH, converters=None, **options):
    codes = None if code is None else (code,)
    plan = (converters or Converters()).plan((name,), codes, detect, **options)
    return value if plan.convert is None else plan.convert((value,))[0]


@pytest.mark.parametrize(
    ("value", "code", "converted"),
    [
        ("2026-11-24", ISO8601, DAY),
        ("2026-11-24 12:30:15.000250", ISO8601, NOON),
        ("2026-11-24T12:30:15.000250", ISO8601, NOON),
        ("2026-11-24 12:30:15", ISO8601, NOON.replace(microsecond=0)),
        ("2026-11-24 12:30", ISO8601, NOON.replace(second=0, microsecond=0)),
        ("2026-11-24 12:30:15.00025", ISO8601, NOON),
        ("2026-11-24 12:30:15.000250999+00:00", ISO8601, NOON.replace(tzinfo=UTC)),
        ("2026-11-24 12:30:15.00025Z", ISO8601, NOON.replace(tzinfo=UTC)),
        ("2026-11-24 14:30:15.00025 +0200", ISO8601, NOON.replace(tzinfo=UTC)),
        (1_000_000_000, UNIXTIME, dt.datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        (-1, UNIXTIME, dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0, ISO8601, dt.datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-11-24", UNIXTIME, DAY),
        (None, ISO8601, None),
        (1, BOOLEAN, True),
        (0, BOOLEAN, False),
        (7, BOOLEAN, True),
        (1, INTEGER, 1),
        ("2026-11-24", TEXT, "2026-11-24"),
        (None, NULL, None),
    ],
)
def test_declared_types(value, code, converted):
    for detect in (PARSE_DECLTYPES, BOTH):
        found = convert(value, code=code, detect=detect)
        assert (type(found), found) == (type(converted), converted)
    for detect in (0, PARSE_COLNAMES):
        assert convert(value, code=code, detect=detect) is value


@pytest.mark.parametrize(
    "value", ["noon", "2026-13-01", "2026-11-24 25:00", "12:30:15", 2**62, -(2**62)]
)
@pytest.mark.parametrize(("name", "code"), [("x", ISO8601), ("x [timestamp]", None)])
def test_what_is_no_date_is_an_error_that_names_the_column(value, name, code):
    with pytest.raises(DataError) as caught:
        convert(value, name=name, code=code)
    assert repr("x") in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("registered", "value", "code", "converted"),
    [
        ("date", "2026-11-24", ISO8601, b"2026-11-24"),
        ("DATE", "2026-11-24", ISO8601, b"2026-11-24"),
        ("date", "2026-11-24 12:30:15.000250", ISO8601, NOON),
        ("timestamp", "2026-11-24 12:30", ISO8601, b"2026-11-24 12:30"),
        ("Datetime", "2026-11-24 12:30", ISO8601, b"2026-11-24 12:30"),
        ("timestamp", 12, UNIXTIME, b"12"),
        ("timestamp", "2026-11-24", ISO8601, DAY),
        ("boolean", 1, BOOLEAN, b"1"),
        ("boolean", 1, INTEGER, 1),
        ("integer", 1, INTEGER, 1),
    ],
)
def test_registered_converters_of_declared_types(registered, value, code, converted):
    converters = Converters({registered: lambda raw: raw})
    assert convert(value, code=code, converters=converters) == converted


def test_timestamp_precedes_datetime():
    converters = Converters({"timestamp": lambda raw: "first", "datetime": lambda raw: "second"})
    assert convert("2026-11-24 12:30", code=ISO8601, converters=converters) == "first"


LABELS = [
    ("x", "2026-11-24"),
    ("x [date]", "2026-11-24"),
    ("x [DATE]", "2026-11-24"),
    ("x[date]", "2026-11-24"),
    ("x  [date]", "2026-11-24"),
    ("[date]", "2026-11-24"),
    ("x [date] y", "2026-11-24"),
    ("x [other] [date]", "2026-11-24"),
    ("x [unknown]", "2026-11-24"),
    ("x [date", "2026-11-24"),
    ("x ] [date]", "2026-11-24"),
    ("x [a[date]", "2026-11-24"),
    ("x [timestamp]", "2026-11-24 12:30:15.000250"),
    ("x [own]", "abc"),
    ("x [own]", b"abc"),
    ("x [own]", 5),
    ("x [own]", 2.5),
    ("x [own]", None),
]


@pytest.mark.filterwarnings("ignore:The default:DeprecationWarning")
@pytest.mark.parametrize(("name", "value"), LABELS)
def test_labels_in_column_names_as_sqlite3_reads_them(name, value):
    sqlite3.register_converter("own", lambda raw: ("own", raw))
    with closing(sqlite3.connect(":memory:", detect_types=PARSE_COLNAMES)) as library:
        cursor = library.execute(f'SELECT ? AS "{name}"', (value,))
        expected = (cursor.description[0][0], cursor.fetchone()[0])
    converters = Converters({"own": lambda raw: ("own", raw)})
    plan = converters.plan((name,), (TEXT,), PARSE_COLNAMES)
    found = value if plan.convert is None else plan.convert((value,))[0]
    assert (plan.names[0], found) == expected


def test_a_label_precedes_the_declared_type():
    assert convert("2026-11-24 12:30", name="x [own]", code=ISO8601,
                   converters=Converters({"own": len})) == 16  # fmt: skip


def test_errors_of_a_converter_are_the_caller_s():
    with pytest.raises(ZeroDivisionError):
        convert("a", name="x [own]", converters=Converters({"own": lambda raw: 1 / 0}))


def test_text_factory_makes_the_text_that_no_converter_takes():
    options = {"text_factory": bytes, "converters": Converters({"own": len})}
    assert convert("é", **options) == "é".encode()
    assert convert(b"x", **options) == b"x"
    assert convert(5, **options) == 5
    assert convert("abc", name="x [own]", **options) == 3


def test_a_plan_leaves_other_columns_alone():
    plan = Converters().plan(("a", "b [date]", "c"), (INTEGER, ISO8601, BOOLEAN), BOTH)
    assert plan.names == ("a", "b", "c")
    assert [column is None for column in plan.columns] == [True, False, False]
    assert plan.convert((5, "2026-11-24", 1)) == (5, DAY, True)
    assert Converters().plan(("a",), (TEXT,), BOTH) == (("a",), None, None)


@pytest.mark.parametrize(("name", "converter"), [(5, len), ("x", 5)])
def test_a_converter_needs_a_name_and_a_callable(name, converter):
    with pytest.raises(ProgrammingError):
        Converters().register(name, converter)
