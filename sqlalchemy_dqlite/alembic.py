"""Alembic support, found by Alembic itself through the `alembic.plugins` entry point."""

from __future__ import annotations

from alembic.ddl.base import ColumnName, RenameTable
from alembic.ddl.sqlite import SQLiteImpl, visit_column_name, visit_rename_table
from alembic.runtime.plugins import Plugin
from sqlalchemy.ext.compiler import compiles


class DqliteImpl(SQLiteImpl):
    """SQLite's migrations, but atomic: the driver begins a transaction before DDL."""

    __dialect__ = "dqlite"
    transactional_ddl = True


def setup(plugin: Plugin) -> None:
    """Teach dqlite the ALTER statements that Alembic registers for SQLite by name."""
    compiles(RenameTable, "dqlite")(visit_rename_table)
    compiles(ColumnName, "dqlite")(visit_column_name)
