"""`run_transaction` for asyncio: a transaction that is applied exactly once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol, TypeAlias, TypeVar

from dqlite_dbapi._chance import draw
from dqlite_dbapi.aio.connection import AsyncConnection
from dqlite_dbapi.errors import Error, InterfaceError
from dqlite_dbapi.protocol.token import Clocks, Course, Policy, Token, settle

T = TypeVar("T")
R = TypeVar("R")
_CLOCKS = Clocks(time.monotonic, time.time, draw, os.urandom)


class AsyncLender(Protocol[R]):
    """A pool: its `connection()` is an async context manager that lends a connection."""

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection[R]]:
        """Lend a connection for a while."""


Source: TypeAlias = (
    AsyncConnection[R] | AsyncLender[R] | Callable[[], Awaitable[AsyncConnection[R]]]
)


async def run_transaction(
    source: Source[R],
    function: Callable[[AsyncConnection[R]], Awaitable[T]],
    *,
    retries: int | None = None,
    deadline: float = 60.0,
    exactly_once: bool = True,
    begin: str = "immediate",
    on_retry: Callable[[Error, int], object] | None = None,
    keep_tokens: float = 3600.0,
) -> T:
    """Await `function(connection)` in a transaction, commit it and return what it returned.

    As `dqlite_dbapi.run_transaction`. A task that is cancelled during COMMIT gets its
    `CancelledError` with a `CommitUnknown`, which has the token, as cause.
    """
    policy = Policy(retries, deadline, exactly_once, begin, on_retry, keep_tokens)
    course = Course(policy, _CLOCKS)
    while True:
        try:
            async with _lease(source) as connection:
                return await _attempt(connection, function, course)
        except Error as error:
            pause = course.pause(error)
            if pause is None:
                raise
        await asyncio.sleep(pause)


async def begin_transaction(
    connection: AsyncConnection[R], *, begin: str = "immediate", keep_tokens: float = 3600.0
) -> str:
    """Begin a transaction with a token and return that, as `dqlite_dbapi.begin_transaction`."""
    policy = Policy(deadline=keep_tokens / 4, begin=begin, keep_tokens=keep_tokens)
    course = Course(policy, _CLOCKS)
    try:
        await connection._run(course.begin(connection))
    except BaseException as error:
        if course.failed(connection, error):
            with suppress(Error):
                await connection._run(connection._rollback())
        raise
    return str(course.token)


async def was_applied(
    source: Source[R], token: str, *, deadline: float = 60.0, keep_tokens: float = 3600.0
) -> bool:
    """Say whether the transaction of a `CommitUnknown.token` was applied; False is for ever.

    As `dqlite_dbapi.was_applied`.
    """
    asked = Token.parse(token)
    give_up = time.monotonic() + deadline
    async with _lease(source) as connection:
        return await connection._run(settle(connection, asked, keep_tokens, _CLOCKS, give_up))


async def _attempt(
    connection: AsyncConnection[R],
    function: Callable[[AsyncConnection[R]], Awaitable[T]],
    course: Course,
) -> T:
    try:
        await connection._run(course.begin(connection))
        result = await function(connection)
        await connection._run(course.finish(connection))
    except BaseException as error:
        if course.failed(connection, error):
            with suppress(Error):
                await connection._run(connection._rollback())
        raise
    return result


@asynccontextmanager
async def _lease(source: Source[R]) -> AsyncIterator[AsyncConnection[R]]:
    if isinstance(source, AsyncConnection):
        yield source
    elif callable(getattr(source, "connection", None)):
        async with source.connection() as lent:  # type: ignore[union-attr]
            yield lent
    elif callable(source):
        opened = await source()
        try:
            yield opened
        finally:
            await opened.close()
    else:
        raise InterfaceError(f"{source!r} is no connection, no pool and opens no connection")
