"""The blocking dialects: `dqlite://`, `dqlite+dbapi://` and `sqlite+dqlite://`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.pool import Pool, QueuePool

import dqlite_dbapi

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
        return cast("DBAPIModule", dqlite_dbapi)

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """Return QueuePool: connections are sockets, shared between threads one at a time."""
        return QueuePool

    def _begin_with_token(self, driver: Any, begin: str) -> str:
        return dqlite_dbapi.begin_transaction(driver, begin=begin)

    def _was_applied(self, driver: Any, token: str, deadline: float) -> bool:
        return dqlite_dbapi.was_applied(driver, token, deadline=deadline)


class SqliteDqliteDialect(DqliteDialect):
    """The same under SQLite's name, for programs that know a closed list of names."""

    name = "sqlite"
    driver = "dqlite"
    supports_statement_cache = True
