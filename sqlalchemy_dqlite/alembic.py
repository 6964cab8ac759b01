"""Alembic support: atomic migrations, batch mode that keeps children, one migration at a time.

Alembic 1.18 and newer finds this module through the `alembic.plugins` entry point and calls
`setup`. For older ones the dialect calls `register` when it is loaded. Nothing is needed in env.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from alembic.ddl import sqlite
from alembic.ddl.base import ColumnName, RenameTable
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.sqlite import SQLiteImpl
from alembic.util import CommandError
from sqlalchemy.ext.compiler import compiles

from .migrating import OWN_TABLES, ForeignKeys, MigrationLock

if TYPE_CHECKING:
    from alembic.operations.batch import ApplyBatchImpl
    from alembic.runtime.migration import MigrationContext
    from alembic.runtime.plugins import Plugin
    from sqlalchemy import Column, Table
    from sqlalchemy.engine import Connection

_PATIENCE = 600.0


class DqliteImpl(SQLiteImpl):
    """SQLite's migrations, but atomic, since the driver begins a transaction before DDL.

    Options for `context.configure()`: `dqlite_lock_timeout` (seconds to wait for other migrations,
    600), `dqlite_lock` and `dqlite_render_as_batch` (both true).
    """

    __dialect__ = "dqlite"
    transactional_ddl = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _lock_runs()
        options = self.context_opts
        options["render_as_batch"] = options.get("dqlite_render_as_batch", True)
        options["include_name"] = _without_own_tables(options.get("include_name"))
        self._is_nested = not self.as_sql and bool(
            self.connection and self.connection.in_transaction()
        )

    def start_migrations(self) -> None:
        """Put foreign keys aside while no transaction has begun yet."""
        super().start_migrations()
        self.suspend_foreign_keys()

    @property
    def bind(self) -> Connection | None:
        """The connection that migrations use, `op.get_bind()`."""
        self.suspend_foreign_keys()
        return self.connection

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Refuse to rebuild a table where dropping the old one would hurt its children.

        Also leaves out generated columns from what is copied, which Alembic does not.
        """
        super().prep_table_for_batch(batch_impl, table)
        for name, column in batch_impl.columns.items():
            if column.computed is not None:
                batch_impl.column_transfers[name].pop("expr", None)
        if self.as_sql:
            return
        children = self._foreign_keys.endangered_by_drop(table.name)
        if children:
            raise CommandError(
                f"cannot rebuild {table.name}: foreign keys are on, a transaction is open, and"
                f" {', '.join(children)} would lose rows. Begin the migration in a transaction"
                " that has not written yet, or connect with foreign_keys=false"
            )

    def drop_table(self, table: Table, **kw: Any) -> None:
        """Drop a table; not where batch mode cleans up behind a lost connection."""
        if self.connection is None or self.as_sql or not self.connection.invalidated:
            super().drop_table(table, **kw)

    def emit_begin(self) -> None:
        """Begin a script; foreign keys cannot be put aside later."""
        self.static_output("PRAGMA foreign_keys = OFF" + self.command_terminator)
        super().emit_begin()

    def emit_commit(self) -> None:
        """End a script and bring back foreign keys, which servers have on by default."""
        super().emit_commit()
        self.static_output("PRAGMA foreign_keys = ON" + self.command_terminator)

    def compare_server_default(
        self,
        inspector_column: Column[Any],
        metadata_column: Column[Any],
        rendered_metadata_default: str | None,
        rendered_inspector_default: str | None,
    ) -> bool:
        """Say whether defaults differ; a quote within a string is no difference."""
        stored = rendered_inspector_default
        single = stored and re.sub("(?<=.)''(?=.)", "'", stored)
        return all(
            super(DqliteImpl, self).compare_server_default(
                inspector_column, metadata_column, rendered_metadata_default, found
            )
            for found in (stored, single)
        )

    @property
    def changes_schema(self) -> bool:
        """Whether this run is to be alone: not for `current`, `check` and `revision`."""
        options = self.context_opts
        looks_only = options.get("dont_mutate") or "revision_context" in options
        return bool(not self.as_sql and not looks_only and options.get("dqlite_lock", True))

    @property
    def commits_between(self) -> bool:
        """Whether each migration has a transaction of its own."""
        return bool(self.context_opts.get("transaction_per_migration")) and not self._is_nested

    @cached_property
    def migration_lock(self) -> MigrationLock:
        """The lock that runs of migrations take."""
        assert self.connection is not None  # noqa: S101 - offline runs take no lock
        patience = self.context_opts.get("dqlite_lock_timeout", _PATIENCE)
        return MigrationLock(self.connection, self._foreign_keys, float(patience))

    @cached_property
    def _foreign_keys(self) -> ForeignKeys:
        assert self.connection is not None  # noqa: S101 - nor do they touch foreign keys
        return ForeignKeys(self.connection)

    def suspend_foreign_keys(self) -> None:
        """Put foreign keys aside, if no transaction has begun yet."""
        if self.connection is not None and not self.as_sql:
            self._foreign_keys.suspend()

    def _exec(self, *args: Any, **kwargs: Any) -> Any:
        self.suspend_foreign_keys()
        return super()._exec(*args, **kwargs)


def _without_own_tables(chosen: Callable[..., bool] | None) -> Callable[..., bool]:
    """Wrap the user's `include_name`, so that autogenerate never meets our tables."""

    def include(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "table" and name in OWN_TABLES:
            return False
        return chosen is None or chosen(name, kind, parents)

    return include


def _choose_for_sqlite(before: type[DefaultImpl]) -> None:
    """Have the name "sqlite" mean `DqliteImpl` on dqlite and what it meant `before` elsewhere."""

    class SqliteImpl(before):  # type: ignore[misc,valid-type]
        __dialect__ = "sqlite"

        def __new__(cls, dialect: Any, *args: Any, **kwargs: Any) -> Any:
            kind = DqliteImpl if getattr(dialect, "is_dqlite", False) else before
            return kind(dialect, *args, **kwargs)


@cache
def _lock_runs() -> None:
    """Wrap the two methods at whose ends Alembic has no hook; only once dqlite is used.

    The class does not exist yet when Alembic loads its plugins.
    """
    from alembic.runtime.migration import MigrationContext

    run, block = MigrationContext.run_migrations, MigrationContext.autocommit_block

    @wraps(run)
    def run_migrations(self: MigrationContext, **kw: Any) -> None:
        impl = self.impl
        if not isinstance(impl, DqliteImpl) or not impl.changes_schema:
            run(self, **kw)
            return
        with impl.migration_lock.held(across_commits=impl.commits_between):
            run(self, **kw)

    @wraps(block)
    @contextmanager
    def autocommit_block(self: MigrationContext) -> Iterator[None]:
        if isinstance(self.impl, DqliteImpl) and self.impl.changes_schema:
            self.impl.migration_lock.publish()
        with block(self):
            yield

    MigrationContext.run_migrations = run_migrations  # type: ignore[method-assign]
    MigrationContext.autocommit_block = autocommit_block  # type: ignore[method-assign]


@cache
def register() -> None:
    """Make Alembic know dqlite, by both of its names; may be repeated."""
    compiles(RenameTable, "dqlite")(sqlite.visit_rename_table)
    if hasattr(sqlite, "visit_column_name"):
        compiles(ColumnName, "dqlite")(sqlite.visit_column_name)
    _choose_for_sqlite(DefaultImpl.get_by_dialect(SimpleNamespace(name="sqlite")))  # type: ignore[arg-type]


def setup(plugin: Plugin) -> None:
    """Entry point of Alembic's plugins."""
    register()
