"""`run_transaction` for asyncio; `retry` passes its targets on to here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from .attempts import Attempts

T = TypeVar("T")


def is_target(target: object) -> bool:
    """Whether `run` takes it."""
    return isinstance(target, AsyncEngine | async_sessionmaker)


async def run(
    target: AsyncEngine | async_sessionmaker[AsyncSession],
    function: Callable[[Any], Awaitable[T]],
    attempts: Attempts,
) -> T:
    """As `run_transaction`."""
    if isinstance(target, AsyncEngine):
        dialect = target.dialect
    else:
        async with target() as probe:
            dialect = probe.get_bind().dialect
    while True:
        try:
            if isinstance(target, AsyncEngine):
                return await _with_engine(target, function, attempts)
            return await _with_session(target, function, attempts, dialect)
        except DBAPIError as error:
            pause = attempts.pause(error, dialect)
            if pause is None:
                raise
        await asyncio.sleep(pause)


async def _with_engine(
    engine: AsyncEngine, function: Callable[[AsyncConnection], Awaitable[T]], attempts: Attempts
) -> T:
    async with engine.connect() as connection:
        await connection.execution_options(**attempts.options(engine.dialect))
        async with connection.begin():
            return await function(connection)


async def _with_session(
    maker: async_sessionmaker[AsyncSession],
    function: Callable[[AsyncSession], Awaitable[T]],
    attempts: Attempts,
    dialect: Any,
) -> T:
    async with maker() as session, session.begin():
        await session.connection(execution_options=attempts.options(dialect))
        return await function(session)
