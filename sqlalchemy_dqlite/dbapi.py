"""The blocking dialect: `dqlite://` and `dqlite+dbapi://`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy.pool import Pool, QueuePool

from .base import DqliteDialectBase

if TYPE_CHECKING:
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIModule


class DqliteDialect(DqliteDialectBase):
    """dqlite through `dqlite_dbapi`, PEP 249."""

    driver = "dbapi"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> DBAPIModule:
        """Return the driver module."""
        import dqlite_dbapi

        return cast("DBAPIModule", dqlite_dbapi)

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """Return QueuePool: connections are sockets, shared between threads one at a time."""
        return QueuePool
