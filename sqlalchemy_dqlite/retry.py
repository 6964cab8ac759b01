"""`run_transaction`: work that is applied exactly once, whatever becomes of the leader."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from .attempts import Attempts

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import (
        AsyncConnection,
        AsyncEngine,
        AsyncSession,
        async_sessionmaker,
    )
    from typing_extensions import Unpack

    from .attempts import Bounds

T = TypeVar("T")
S = TypeVar("S", bound=Session)


@overload
def run_transaction(
    target: Engine, function: Callable[[Connection], T], **bounds: Unpack[Bounds]
) -> T: ...
@overload
def run_transaction(
    target: sessionmaker[S] | scoped_session[S],
    function: Callable[[S], T],
    **bounds: Unpack[Bounds],
) -> T: ...
@overload
def run_transaction(
    target: AsyncEngine,
    function: Callable[[AsyncConnection], Awaitable[T]],
    **bounds: Unpack[Bounds],
) -> Awaitable[T]: ...
@overload
def run_transaction(
    target: async_sessionmaker[Any],
    function: Callable[[AsyncSession], Awaitable[T]],
    **bounds: Unpack[Bounds],
) -> Awaitable[T]: ...
def run_transaction(target: Any, function: Callable[[Any], Any], **bounds: Unpack[Bounds]) -> Any:
    """Run `function` in a transaction, commit it and return what it returned.

    `target`: an engine, then `function(connection)`; or a sessionmaker, then `function(session)`,
    with a new session each time; or one of the asyncio ones, then `function` is awaited and so
    must be the result of this call. Anything else than an engine of dqlite gets one plain
    transaction.

    An error of the database that `is_retryable` runs `function` again: `retries` times at most
    (None, the default: no limit) and within `deadline` seconds (60); `on_retry(error, failures)` is
    told. Anything else rolls back and is raised. `begin` is the mode of BEGIN (`immediate`), which
    is sent at once. `function` must not commit.

    A lost answer to COMMIT is settled as `dqlite_dbapi.run_transaction` does; what cannot be
    settled in time is raised with a `CommitUnknown`, which has the `token`, as `orig`. With
    `exactly_once=False` that is raised at once.
    """
    attempts = Attempts(**bounds)
    if isinstance(target, scoped_session):
        target = target.session_factory
    if isinstance(target, Engine):
        return _repeat(attempts, target.dialect, lambda: _with_engine(target, function, attempts))
    if isinstance(target, sessionmaker):
        return _with_sessions(target, function, attempts)
    from . import aio_retry

    if not aio_retry.is_target(target):
        raise ArgumentError(f"{target!r} is neither an engine nor a sessionmaker")
    return aio_retry.run(target, function, attempts)


def _repeat(attempts: Attempts, dialect: Any, attempt: Callable[[], T]) -> T:
    while True:
        try:
            return attempt()
        except DBAPIError as error:
            pause = attempts.pause(error, dialect)
            if pause is None:
                raise
        time.sleep(pause)


def _with_engine(engine: Engine, function: Callable[[Connection], T], attempts: Attempts) -> T:
    with engine.connect() as connection:
        connection.execution_options(**attempts.options(engine.dialect))
        with connection.begin():
            return function(connection)


def _with_sessions(maker: sessionmaker[S], function: Callable[[S], T], attempts: Attempts) -> T:
    with maker() as probe:
        dialect = probe.get_bind().dialect

    def attempt() -> T:
        with maker() as session, session.begin():
            session.connection(execution_options=attempts.options(dialect))
            return function(session)

    return _repeat(attempts, dialect, attempt)
