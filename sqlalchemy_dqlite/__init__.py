"""SQLAlchemy 2.0 and 2.1 dialect for dqlite clusters; `create_engine("dqlite://...")` finds it."""

from __future__ import annotations

from .dbapi import DqliteDialect

__all__ = ["DqliteDialect"]
