"""What dqlite changes in SQLite's DDL: type names, and table options under a second prefix."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects.sqlite.base import SQLiteDDLCompiler, SQLiteTypeCompiler, ischema_names
from sqlalchemy.sql.base import DialectKWArgs
from sqlalchemy.types import TIMESTAMP, TypeEngine

#: Declared type name -> type. SQLAlchemy reflects all of our spellings but this one by itself.
REFLECTED_TYPES: dict[str, type[TypeEngine[Any]]] = {
    **ischema_names,
    "TIMESTAMP_CHAR": TIMESTAMP,
}

_OWN, _INHERITED = "dqlite_", "sqlite_"
_swap_lock = threading.RLock()


class DqliteTypeCompiler(SQLiteTypeCompiler):
    """Avoids the declared types BOOLEAN, DATE, DATETIME and TIMESTAMP.

    The server converts columns declared so by their declaration: NULL is lost, and a value of
    another storage class aborts it (docs: server hazards H4, H5). The spellings used instead are
    the ones SQLAlchemy's SQLite reflection knows, and the `_CHAR` ones have TEXT affinity.
    """

    def visit_BOOLEAN(self, type_: Any, **kw: Any) -> str:
        """`BOOL`, NUMERIC affinity like BOOLEAN."""
        return "BOOL"

    def visit_BIGINT(self, type_: Any, type_expression: Any = None, **kw: Any) -> str:
        """`BIGINT`; `INTEGER`, which holds as much, where the server is to count it up."""
        if _is_counted(type_expression):
            return self.visit_INTEGER(type_, **kw)
        return super().visit_BIGINT(type_, **kw)

    def visit_SMALLINT(self, type_: Any, type_expression: Any = None, **kw: Any) -> str:
        """`SMALLINT`; `INTEGER` where the server is to count it up."""
        if _is_counted(type_expression):
            return self.visit_INTEGER(type_, **kw)
        return super().visit_SMALLINT(type_, **kw)

    def visit_DATE(self, type_: Any, **kw: Any) -> str:
        """`DATE_CHAR`."""
        return "DATE_CHAR"

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:
        """`DATETIME_CHAR`."""
        return "DATETIME_CHAR"

    def visit_TIMESTAMP(self, type_: Any, **kw: Any) -> str:
        """`TIMESTAMP_CHAR`."""
        return "TIMESTAMP_CHAR"


class DqliteDDLCompiler(SQLiteDDLCompiler):
    """SQLite's DDL; every `sqlite_*` option of a schema object may also be given as `dqlite_*`."""

    def process(self, obj: Any, **kw: Any) -> str:
        """Compile `obj` with the `dqlite_*` options of what it creates in force."""
        with _own_options(obj):
            return super().process(obj, **kw)

    def get_column_specification(self, column: Column[Any], **kw: Any) -> str:
        """Compile one column; also called on its own, by Alembic's ADD COLUMN."""
        with _own_options(column):
            text: str = super().get_column_specification(column, **kw)  # type: ignore[no-untyped-call]
            return text


def _is_counted(column: Any) -> bool:
    """Whether a column is a table's automatic key, which SQLite has as INTEGER PRIMARY KEY only."""
    if not isinstance(column, Column) or column.table is None or not column.primary_key:
        return False
    return column.table.autoincrement_column is column


def _carriers(obj: Any) -> Iterator[DialectKWArgs]:
    element = getattr(obj, "element", None)
    yield from (item for item in (obj, element) if isinstance(item, DialectKWArgs))
    if isinstance(element, Table):
        yield from element.columns


@contextmanager
def _own_options(obj: Any) -> Iterator[None]:
    """Show `dqlite_*` options as `sqlite_*`, the only names the inherited compiler reads.

    Undone afterwards, so that the same metadata compiled for SQLite is not affected.
    """
    with _swap_lock:
        undo: list[tuple[DialectKWArgs, str, Any]] = []
        for item in _carriers(obj):
            options = item.dialect_kwargs
            for key in [key for key in options if key.startswith(_OWN)]:
                inherited = _INHERITED + key.removeprefix(_OWN)
                undo.append((item, inherited, dict(options).get(inherited, _swap_lock)))
                options[inherited] = options[key]
        try:
            yield
        finally:
            for item, key, value in reversed(undo):
                if value is _swap_lock:
                    del item.dialect_kwargs[key]
                else:
                    item.dialect_kwargs[key] = value
