"""Row factories as a user's type checker sees them. Never run: mypy reads it (test_typing.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import assert_type

from dqlite_dbapi.rowfactory import (
    Factory,
    Row,
    RowFactory,
    class_row,
    dataclass_row,
    dict_row,
    namedtuple_row,
    scalar_row,
    tuple_row,
)


@dataclass
class Point:
    """A row of two columns."""

    x: int
    y: int


class Mine(Row):
    """A user's own kind of row."""


class Lengths:
    """A user's own factory, of names."""

    def maker(self, names: tuple[str, ...], /) -> type[list[object]]:
        return list


def joined(cursor: Any, row: tuple[Any, ...]) -> str:
    """A user's own factory, as sqlite3's."""
    return " ".join(map(str, row))


def one(factory: RowFactory[Any]) -> None:
    """Takes any factory."""


NAMES = ("x", "y")
VALUES: tuple[Any, ...] = (1, 2)

assert_type(dict_row.maker(NAMES)(VALUES), dict[str, Any])
assert_type(tuple_row.maker(NAMES)(VALUES), tuple[Any, ...])
assert_type(class_row(Point).maker(NAMES)(VALUES), Point)
assert_type(dataclass_row(Point), Factory[Point])
assert_type(Row.maker(NAMES)(VALUES), Row)
assert_type(Mine.maker(NAMES)(VALUES), Mine)

row = Row.maker(NAMES)(VALUES)
assert_type(row["x"], Any)
assert_type(row[0:1], tuple[Any, ...])
assert_type(row.keys(), list[str])

for any_factory in (dict_row, tuple_row, namedtuple_row, scalar_row):
    one(any_factory)
one(Row)
one(Lengths())
one(joined)
one(len)  # type: ignore[arg-type]
one("dict")  # type: ignore[arg-type]
dataclass_row(5)  # type: ignore[arg-type]
row[2.5]  # type: ignore[call-overload]
