"""One connection, one database: says so where a statement names another schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table
from sqlalchemy.schema import Index
from sqlalchemy.sql import visitors

from dqlite_dbapi import Error, NotSupportedError

_SQLITE_ERROR = 1
_OWN = (None, "main", "temp")


def explain(error: Error, context: Any) -> None:
    """Raise `NotSupportedError` if what failed lies in a schema that cannot exist."""
    if context is None or error.code is None or error.code & 0xFF != _SQLITE_ERROR:
        return
    compiled = context.compiled
    if compiled is None:
        return
    connection = context.root_connection
    named = {connection.schema_for_object(table) for table in _tables(compiled.statement)}
    foreign = named.difference(_OWN)
    absent = foreign and foreign - _schemas(connection.connection.dbapi_connection)
    if absent:
        raise NotSupportedError(
            f"there is no schema {min(absent)!r}: a connection has exactly one database, and"
            " dqlite attaches no others",
            code=error.code,
            address=error.address,
            hint="make another engine for another database, or map the schema away with"
            " execution_options(schema_translate_map={...: None})",
        ) from error


def _schemas(dbapi_connection: Any) -> set[str]:
    """Those of a connection, among them what `ATTACH '' AS name` has made."""
    cursor = dbapi_connection.execute("PRAGMA database_list")
    try:
        return {name for _, name, _ in cursor.fetchall()}
    finally:
        cursor.close()


def _tables(statement: Any) -> Iterator[Table]:
    """Tables that a statement, of SQL or DDL, names."""
    element = getattr(statement, "element", statement)
    if isinstance(element, Index) and element.table is not None:
        element = element.table
    for item in visitors.iterate(element):
        if isinstance(item, Table):
            yield item
    target = getattr(statement, "table", None)
    if isinstance(target, Table):
        yield target
