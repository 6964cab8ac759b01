"""The asyncio twin of `dqlite_dbapi`: the same names with `Async`, the same behaviour."""

from __future__ import annotations

from dqlite_dbapi.aio.cluster import AsyncClient, AsyncWatch
from dqlite_dbapi.aio.connection import AsyncConnection, connect
from dqlite_dbapi.aio.cursor import AsyncCursor
from dqlite_dbapi.aio.pool import AsyncConnectionPool
from dqlite_dbapi.aio.retry import begin_transaction, run_transaction, was_applied

__all__ = [
    "AsyncClient",
    "AsyncConnection",
    "AsyncConnectionPool",
    "AsyncCursor",
    "AsyncWatch",
    "begin_transaction",
    "connect",
    "run_transaction",
    "was_applied",
]
