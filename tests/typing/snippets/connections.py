"""Connections as a user's type checker sees them. Never run: mypy reads it (test_typing.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import assert_type

import dqlite_dbapi
from dqlite_dbapi.rowfactory import Row, class_row, dict_row, scalar_row, tuple_row


@dataclass
class Point:
    """A row of two columns."""

    x: int
    y: int


def joined(cursor: Any, row: tuple[Any, ...]) -> str:
    """A user's own factory, as sqlite3's."""
    return " ".join(map(str, row))


plain = dqlite_dbapi.connect("h:9001", "main", timeout=5)
assert_type(plain, dqlite_dbapi.Connection[tuple[Any, ...]])
assert_type(plain.execute("SELECT 1").fetchone(), tuple[Any, ...] | None)

dicts = dqlite_dbapi.connect(["h:9001"], row_factory=dict_row, timeout=5)
assert_type(dicts, dqlite_dbapi.Connection[dict[str, Any]])
assert_type(dicts.cursor(), dqlite_dbapi.Cursor[dict[str, Any]])
assert_type(dicts.cursor().execute("SELECT 1"), dqlite_dbapi.Cursor[dict[str, Any]])
assert_type(dicts.execute("SELECT 1").fetchone(), dict[str, Any] | None)
assert_type(dicts.execute("SELECT 1").fetchmany(5), list[dict[str, Any]])
assert_type(dicts.execute("SELECT 1").fetchall(), list[dict[str, Any]])
assert_type([row["x"] for row in dicts.execute("SELECT 1 AS x")], list[Any])
with dicts as same:
    assert_type(same, dqlite_dbapi.Connection[dict[str, Any]])
with dicts.cursor() as cursor:
    assert_type(cursor, dqlite_dbapi.Cursor[dict[str, Any]])

assert_type(dqlite_dbapi.connect(row_factory=Row), dqlite_dbapi.Connection[Row])
assert_type(dqlite_dbapi.connect(row_factory=class_row(Point)), dqlite_dbapi.Connection[Point])
assert_type(dqlite_dbapi.connect(row_factory=scalar_row), dqlite_dbapi.Connection[Any])
assert_type(dqlite_dbapi.connect(row_factory=tuple_row), dqlite_dbapi.Connection[tuple[Any, ...]])
assert_type(dqlite_dbapi.connect(row_factory=joined), dqlite_dbapi.Connection[str])
assert_type(dqlite_dbapi.connect(row_factory=None), dqlite_dbapi.Connection[tuple[Any, ...]])

found = dqlite_dbapi.connect(row_factory=class_row(Point)).execute("SELECT 1, 2").fetchone()
if found is not None:
    assert_type(found.x, int)

dqlite_dbapi.connect("h:9001", 5)  # type: ignore[call-overload]
dqlite_dbapi.connect(5)  # type: ignore[call-overload]
dqlite_dbapi.connect(row_factory="dict")  # type: ignore[call-overload]
plain.execute(b"SELECT 1")  # type: ignore[arg-type]
