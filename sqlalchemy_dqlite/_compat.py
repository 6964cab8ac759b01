"""Where the asyncio support of SQLAlchemy 2.0 and 2.1 differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_module
from sqlalchemy.util import concurrency

T = TypeVar("T")

#: Waits, in a method that SQLAlchemy runs in a greenlet; 2.0 calls it `await_only`.
await_: Callable[[Awaitable[Any]], Any] = (
    concurrency.await_ if hasattr(concurrency, "await_") else concurrency.await_only
)


class DriverModule(AsyncAdapt_dbapi_module):
    """Base for what stands for the driver module; 2.1 keeps both modules, 2.0 neither."""

    def __init__(self, driver: Any, dbapi: Any) -> None:
        self.driver = driver
        self.dbapi_module = dbapi
