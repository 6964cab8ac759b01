"""The asyncio dialects: `dqlite+aio://` and `sqlite+aiodqlite://`, for `create_async_engine`."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.connectors.asyncio import (
    AsyncAdapt_dbapi_connection,
    AsyncAdapt_dbapi_cursor,
    AsyncAdapt_dbapi_ss_cursor,
)
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool

import dqlite_dbapi
import dqlite_dbapi.aio

from ._compat import DriverModule, await_
from .base import DqliteDialectBase
from .context import ExecutionContext

if TYPE_CHECKING:
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIModule


class AdaptedCursor(AsyncAdapt_dbapi_cursor):
    """A cursor of the asyncio driver, which SQLAlchemy uses as if it blocked; it holds all rows."""

    @property
    def connection(self) -> Any:
        """The driver's connection (PEP 249)."""
        return self._connection

    def execute(self, operation: Any, parameters: Any = (), **options: Any) -> Any:
        """Run a statement; `consistency` as with the driver."""
        return await_(self._run(operation, parameters, options))

    async def _run(self, operation: Any, parameters: Any, options: Any) -> Any:
        cursor: Any = self._cursor
        async with self._adapt_connection._execute_mutex:
            result = await cursor.execute(operation, parameters or (), **options)
            if not self.server_side and cursor.description:
                self._rows = deque(await cursor.fetchall())
        return result


class AdaptedStream(AdaptedCursor, AsyncAdapt_dbapi_ss_cursor):
    """The same for `stream()` and `yield_per`: rows are received as they are asked for."""


class AdaptedConnection(AsyncAdapt_dbapi_connection):
    """A connection of the asyncio driver, which SQLAlchemy uses as if it blocked."""

    _cursor_cls = AdaptedCursor
    _ss_cursor_cls = AdaptedStream
    _connection: Any

    def execute(self, operation: Any, parameters: Any = (), **options: Any) -> Any:
        """Run a statement on a new cursor and return that."""
        cursor: Any = self.cursor()
        cursor.execute(operation, parameters, **options)
        return cursor

    @property
    def autocommit(self) -> bool:
        """As the driver's; setting it to True commits an open transaction."""
        return bool(self._connection.autocommit)

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        await_(self._connection.set_autocommit(value))

    @property
    def isolation_level(self) -> str | None:
        """As the driver's; setting it to None commits an open transaction."""
        level: str | None = self._connection.isolation_level
        return level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        await_(self._connection.set_isolation_level(level))

    def terminate(self) -> None:
        """Drop the socket at once, also where nothing can be awaited: at cancelling and in gc."""
        with suppress(RuntimeError):  # the loop is closed, and its sockets with it
            self._connection.terminate()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._connection, name)


class AdaptedModule(DriverModule):
    """Stands for the driver module: PEP 249's names are those of `dqlite_dbapi`."""

    def connect(self, *args: Any, **options: Any) -> AdaptedConnection:
        """Open a connection; `async_creator_fn` may be given instead of the driver's `connect`."""
        creator = options.pop("async_creator_fn", dqlite_dbapi.aio.connect)
        return AdaptedConnection(self, await_(creator(*args, **options)))

    def __getattr__(self, name: str) -> Any:
        return getattr(dqlite_dbapi, name)


class StreamingContext(ExecutionContext):
    """Asks for a streaming cursor where SQLAlchemy wants one."""

    def create_server_side_cursor(self) -> Any:
        """A cursor that receives rows as they are asked for."""
        return self._dbapi_connection.cursor(server_side=True)


class AsyncDqliteDialect(DqliteDialectBase):
    """dqlite through `dqlite_dbapi.aio`."""

    driver = "aio"
    is_async = True
    has_terminate = True
    supports_server_side_cursors = True
    supports_statement_cache = True
    execution_ctx_cls = StreamingContext

    @classmethod
    def import_dbapi(cls) -> DBAPIModule:
        """Return what stands for the driver module."""
        return cast("DBAPIModule", AdaptedModule(dqlite_dbapi.aio, dqlite_dbapi))

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """Return the queue that waits without blocking the loop."""
        return AsyncAdaptedQueuePool

    def get_driver_connection(self, connection: Any) -> Any:
        """The driver's `AsyncConnection`."""
        return connection.driver_connection

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Drop a connection whose task was cancelled, without waiting."""
        dbapi_connection.terminate()

    def _begin_with_token(self, driver: Any, begin: str) -> str:
        connection = driver.driver_connection
        token: str = await_(dqlite_dbapi.aio.begin_transaction(connection, begin=begin))
        return token

    def _was_applied(self, driver: Any, token: str, deadline: float) -> bool:
        connection = driver.driver_connection
        applied: bool = await_(dqlite_dbapi.aio.was_applied(connection, token, deadline=deadline))
        return applied


class SqliteAioDqliteDialect(AsyncDqliteDialect):
    """The same under SQLite's name, for programs that know a closed list of names."""

    name = "sqlite"
    driver = "aiodqlite"
    supports_statement_cache = True
