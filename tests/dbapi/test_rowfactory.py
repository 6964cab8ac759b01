"""Row and row factories: beside `sqlite3.Row` on sqlite3's own cursors, then on a real member."""

from __future__ import annotations

import copy
import pickle
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import pytest

from dqlite_dbapi.errors import ProgrammingError
from dqlite_dbapi.rowfactory import (
    Row,
    class_row,
    dataclass_row,
    dict_row,
    make_maker,
    namedtuple_row,
    scalar_row,
    tuple_row,
)

MADE_BY_MAKER = "maker"


@pytest.fixture
def library():
    """A connection of sqlite3, whose cursors our factories serve as well."""
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


@pytest.fixture(params=[sqlite3.Row, Row, MADE_BY_MAKER], ids=["sqlite3", "ours", "maker"])
def fetch(request, library):
    """The first row of a SELECT: as `sqlite3.Row`, as `Row(cursor, row)`, or by `Row.maker`."""

    def run(sql, *values):
        if request.param is not MADE_BY_MAKER:
            library.row_factory = request.param
            return library.execute(sql, values).fetchone()
        cursor = library.execute(sql, values)
        return Row.maker(tuple(column[0] for column in cursor.description))(cursor.fetchone())

    return run


class TestRow:
    def test_by_index_and_slice(self, fetch):
        row = fetch("SELECT 1 AS a, 2 AS b, 3 AS c")
        assert [row[0], row[-1], row[1]] == [1, 3, 2]
        assert [row[:2], row[::-1], row[5:], row[-2:-1]] == [(1, 2), (3, 2, 1), (), (2,)]

    def test_by_name_in_any_case(self, fetch):
        row = fetch("SELECT 1 AS a_1, 2 AS B, 3 AS 'ÿ'")
        assert [row["a_1"], row["A_1"], row["b"], row["B"], row["ÿ"]] == [1, 1, 2, 2, 3]

    def test_the_first_of_equal_names_is_meant(self, fetch):
        assert fetch("SELECT 1 AS a, 2 AS A, 3 AS a")["a"] == 1

    @pytest.mark.parametrize("key", ["c", "a ", "a\x11", "b1", "", "Ÿ", 2, -3, 2**100, 1.0, None])
    def test_other_keys_are_index_errors(self, fetch, key):
        with pytest.raises(IndexError):
            fetch("SELECT 1 AS a, 2 AS 'ÿ'")[key]

    def test_as_a_sequence(self, fetch):
        row = fetch("SELECT 1 AS a, 'x' AS b, NULL AS c")
        assert isinstance(row, Sequence)
        assert (len(row), tuple(row), list(reversed(row))) == (3, (1, "x", None), [None, "x", 1])
        assert "x" in row
        assert "a" not in row
        assert row.keys() == ["a", "b", "c"]
        assert dict(row) == {"a": 1, "b": "x", "c": None}

    def test_equality_and_hash(self, fetch):
        row, same = fetch("SELECT 1 AS a, 2 AS b"), fetch("SELECT 1 AS a, 2 AS b")
        assert row == same
        assert hash(row) == hash(same)
        assert row != fetch("SELECT 1 AS a, 3 AS b")
        assert row != fetch("SELECT 1 AS a, 2 AS c")
        assert row != (1, 2)
        with pytest.raises(TypeError):
            _ = row < same

    def test_repr_shows_names_and_values(self):
        shown = repr(Row.maker(("id", "name"))((7, "x")))
        assert all(part in shown for part in ("id", "7", "name", "'x'"))

    def test_copies_and_pickles(self):
        row = Row.maker(("id", "name"))((7, "x"))
        for other in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row))):  # noqa: S301
            assert other == row
            assert other["NAME"] == "x"

    def test_rows_carry_no_dict(self):
        with pytest.raises(AttributeError):
            Row.maker(("a",))((1,)).other = 1

    def test_no_columns(self):
        row = Row.maker(())(())
        assert (len(row), row.keys()) == (0, [])


@dataclass
class Point:
    x: int
    y: int = 0


class Loose:
    def __init__(self, x, **others):
        self.x, self.others = x, others


class Shouting(Row):
    """A subclass with a constructor of its own, in sqlite3's style."""

    def __init__(self, cursor, values):
        super().__init__(cursor, tuple(str(value).upper() for value in values))


class Plain(Row):
    @property
    def first(self):
        return self[0]


class Summing:
    """A factory of the user's that looks at names once."""

    def maker(self, names):
        return lambda values: (len(names), sum(values))


def listed(cursor, row):
    return [column[0] for column in cursor.description], list(row)


FACTORIES = [
    (tuple_row, (1, 2)),
    (dict_row, {"x": 1, "y": 2}),
    (namedtuple_row, (1, 2)),
    (scalar_row, 1),
    (class_row(Point), Point(1, 2)),
    (dataclass_row(Point), Point(1, 2)),
    (Row, Row.maker(("x", "y"))((1, 2))),
    (listed, (["x", "y"], [1, 2])),
    (lambda cursor, row: type(cursor).__name__, "Cursor"),
]
QUERY = "SELECT 1 AS x, 2 AS y"


@pytest.mark.parametrize(("factory", "row"), FACTORIES)
def test_a_factory_serves_both_libraries(library, factory, row):
    library.row_factory = factory
    assert library.execute(QUERY).fetchone() == row
    library.row_factory = None
    cursor = library.execute(QUERY)
    maker = make_maker(factory, cursor, ("x", "y"))
    assert (maker or tuple)(cursor.fetchone()) == row


@pytest.mark.parametrize("factory", [None, tuple_row])
def test_plain_tuples_need_no_maker(library, factory):
    assert make_maker(factory, library.cursor(), ("x",)) is None


def test_a_factory_of_names_is_asked_once_for_a_result():
    maker = make_maker(Summing(), None, ("a", "b"))
    assert [maker((1, 2)), maker((3, 4))] == [(2, 3), (2, 7)]


@pytest.mark.parametrize(("factory", "values"), [(Shouting, ["A", "B"]), (Plain, ["a", "b"])])
def test_subclasses_of_row(library, factory, values):
    cursor = library.execute("SELECT 1 AS x, 2 AS y")
    row = make_maker(factory, cursor, ("x", "y"))(("a", "b"))
    assert type(row) is factory
    assert list(row) == values
    assert row["Y"] == values[1]


def test_sqlite3_s_row_is_replaced_by_ours(library):
    row = make_maker(sqlite3.Row, library.execute(QUERY), ("x", "y"))((1, 2))
    assert isinstance(row, Row)
    assert row["X"] == 1


def test_a_maker_does_not_keep_the_cursor(library):
    class Watched(sqlite3.Cursor):
        gone = False

        def __del__(self):
            Watched.gone = True

    cursor = library.cursor(Watched)
    cursor.maker = make_maker(listed, cursor, ())
    del cursor
    assert Watched.gone


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("id", "id"),
        ("count(*)", "count___"),
        ("t.id", "t_id"),
        ("1", "f1"),
        ("_x", "f_x"),
        ("class", "class_"),
        ("", "_0"),
        ("\u00e9t\u00e9", "\u00e9t\u00e9"),
        ("\u00b2", "_0"),
        ("a b", "a_b"),
    ],
)
def test_field_names_of_named_tuples(name, field):
    assert namedtuple_row.maker((name,))((5,))._fields == (field,)


def test_named_tuples_tell_equal_names_apart():
    row = namedtuple_row.maker(("id", "id", "name"))((1, 2, "x"))
    assert (row.id, row[1], row.name) == (1, 2, "x")
    assert type(namedtuple_row.maker(("id", "id", "name"))((3, 4, "y"))) is type(row)


@pytest.mark.parametrize(
    ("cls", "names", "named"),
    [
        (Point, ("x", "z"), "z"),
        (Point, ("y",), "x"),
        (Point, ("x", "y", "x"), "x"),
        (Loose, ("other",), "x"),
    ],
)
def test_columns_that_a_class_cannot_take_are_named(cls, names, named):
    with pytest.raises(ProgrammingError) as caught:
        class_row(cls).maker(names)
    assert repr(named) in str(caught.value)


def test_classes_take_what_they_can():
    assert class_row(Point).maker(("x",))((5,)) == Point(5)
    assert class_row(Loose).maker(("x", "z"))((1, 2)).others == {"z": 2}
    assert class_row(dict).maker(("x", "z"))((1, 2)) == {"x": 1, "z": 2}


@pytest.mark.parametrize("wrong", [int, Point(1), Loose])
def test_dataclass_row_takes_dataclasses(wrong):
    with pytest.raises(TypeError):
        dataclass_row(wrong)


# -- on a member


@pytest.mark.parametrize(
    ("factory", "row"), [*FACTORIES[:-1], (sqlite3.Row, Row.maker(("x", "y"))((1, 2)))]
)
def test_a_connection_s_factory(connect, factory, row):
    connection = connect(row_factory=factory)
    assert connection.execute(QUERY).fetchone() == row
    cursor = connection.execute(f"{QUERY} UNION ALL SELECT 1, 2")
    assert [*cursor.fetchmany(1), *cursor.fetchall()] == [row, row]
    assert list(connection.execute(QUERY)) == [row]


def test_a_factory_can_be_set_later(connection):
    connection.row_factory = scalar_row
    assert connection.execute(QUERY).fetchall() == [1]
    cursor = connection.cursor()
    cursor.row_factory = None
    assert cursor.execute(QUERY).fetchall() == [(1, 2)]
    cursor.row_factory = dict_row
    assert cursor.execute(QUERY).fetchone() == {"x": 1, "y": 2}


def test_a_factory_makes_every_row_of_a_long_result(connect):
    connection = connect(row_factory=scalar_row)
    count = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 2999)"
    assert list(connection.execute(f"{count} SELECT i FROM n")) == list(range(3000))


def test_a_class_that_does_not_fit_leaves_the_connection_usable(connect):
    connection = connect(row_factory=class_row(Point))
    with pytest.raises(ProgrammingError):
        connection.execute("SELECT 1 AS z").fetchall()
    assert connection.execute(QUERY).fetchone() == Point(1, 2)
