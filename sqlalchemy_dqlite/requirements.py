"""What SQLAlchemy's test suites may ask of a cluster: all that they ask of SQLite.

Within SQLAlchemy's own source tree this builds on its `test/requirements.py`, elsewhere on the
suite's defaults. Name it as `requirement_cls` in setup.cfg, or with `--requirements`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_SQLITE = "sqlite"


def _stock() -> type:
    try:
        found: type = import_module("test.requirements").DefaultRequirements
    except (ImportError, AttributeError):
        return SuiteRequirements
    return found


def _read_as_sqlite() -> None:
    """Have conditions that name SQLite, or its usual drivers, hold for dqlite by any name too."""
    original: Any = exclusions.SpecPredicate.__call__

    def call(self: Any, config: Any) -> bool:
        backend, _, driver = self.db.partition("+")
        dialect: Any = config.db.dialect if config is not None else None
        if backend not in ("", _SQLITE) or not getattr(dialect, "is_dqlite", False):
            return bool(original(self, config))
        if backend == "" and dialect.is_async:  # what aiosqlite cannot do
            return False
        if driver not in ("", "aiosqlite" if dialect.is_async else "pysqlite"):
            return False
        return bool(original(type(self)(dialect.name, self.op, self.spec), config))

    exclusions.SpecPredicate.__call__ = call  # type: ignore[method-assign]


_read_as_sqlite()


class Requirements(_stock()):  # type: ignore[misc]
    """SQLite's requirements on a networked SQLite."""

    def get_order_by_collation(self, config: Any) -> str:
        """A collation that SQLite has by itself; the inherited list goes by names of dialects."""
        return "NOCASE"
