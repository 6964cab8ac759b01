"""SQLAlchemy 2.0 and 2.1 dialects for dqlite clusters; `create_engine("dqlite://...")` finds them.

The asyncio dialects are in `sqlalchemy_dqlite.aio`.
"""

from __future__ import annotations

from sqlalchemy.dialects.sqlite import insert

from .dbapi import DqliteDialect, SqliteDqliteDialect
from .retry import run_transaction

__all__ = ["DqliteDialect", "SqliteDqliteDialect", "insert", "run_transaction"]
