"""`run_transaction`: a transaction that is applied exactly once, whatever becomes of the leader."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Protocol, TypeAlias, TypeVar

from dqlite_dbapi._chance import draw
from dqlite_dbapi.connection import Connection
from dqlite_dbapi.errors import Error, InterfaceError
from dqlite_dbapi.protocol.token import Clocks, Course, Policy, Token, settle

T = TypeVar("T")
R = TypeVar("R")
_CLOCKS = Clocks(time.monotonic, time.time, draw, os.urandom)


class Lender(Protocol[R]):
    """A pool: its `connection()` is a context manager that lends a connection."""

    def connection(self) -> AbstractContextManager[Connection[R]]:
        """Lend a connection for a while."""


Source: TypeAlias = Connection[R] | Lender[R] | Callable[[], Connection[R]]


def run_transaction(
    source: Source[R],
    function: Callable[[Connection[R]], T],
    *,
    retries: int | None = None,
    deadline: float = 60.0,
    exactly_once: bool = True,
    begin: str = "immediate",
    on_retry: Callable[[Error, int], object] | None = None,
    keep_tokens: float = 3600.0,
) -> T:
    """Run `function(connection)` in a transaction, commit it and return what it returned.

    `source`: a connection, a pool, or a callable that opens a connection. An error that
    `is_retryable` starts the transaction anew, `retries` times at most (None: no limit) and within
    `deadline` seconds, so `function` must bear to be run again; `on_retry(error, failures)` is
    told. Any other exception rolls back and is raised. `function` must not end the transaction.

    A lost answer to COMMIT is settled by a token (see `dqlite_dbapi.protocol.token`), which is
    kept for `keep_tokens` seconds. `CommitUnknown` with its `token` is raised only if no leader
    could be asked within the deadline. `exactly_once=False` writes no token and raises it at once.
    """
    policy = Policy(retries, deadline, exactly_once, begin, on_retry, keep_tokens)
    course = Course(policy, _CLOCKS)
    while True:
        try:
            with _lease(source) as connection:
                return _attempt(connection, function, course)
        except Error as error:
            pause = course.pause(error)
            if pause is None:
                raise
        time.sleep(pause)


def begin_transaction(
    connection: Connection[R], *, begin: str = "immediate", keep_tokens: float = 3600.0
) -> str:
    """Begin a transaction with a token and return that; for frameworks that commit by themselves.

    After a `CommitUnknown` from its COMMIT, `was_applied` tells what became of the token.
    `ProgrammingError` if a transaction is open already.
    """
    policy = Policy(deadline=keep_tokens / 4, begin=begin, keep_tokens=keep_tokens)
    course = Course(policy, _CLOCKS)
    try:
        connection._run(course.begin(connection))
    except BaseException as error:
        if course.failed(connection, error):
            with suppress(Error):
                connection._run(connection._rollback())
        raise
    return str(course.token)


def was_applied(
    source: Source[R], token: str, *, deadline: float = 60.0, keep_tokens: float = 3600.0
) -> bool:
    """Say whether the transaction of a `CommitUnknown.token` was applied; False is for ever.

    Writes a row, as `run_transaction` does. `CommitUnknown` if no leader could be asked within
    `deadline` seconds, or if the token is older than half of the time that it is kept.
    """
    asked = Token.parse(token)
    give_up = time.monotonic() + deadline
    with _lease(source) as connection:
        return connection._run(settle(connection, asked, keep_tokens, _CLOCKS, give_up))


def _attempt(
    connection: Connection[R], function: Callable[[Connection[R]], T], course: Course
) -> T:
    try:
        connection._run(course.begin(connection))
        result = function(connection)
        connection._run(course.finish(connection))
    except BaseException as error:
        if course.failed(connection, error):
            with suppress(Error):
                connection._run(connection._rollback())
        raise
    return result


@contextmanager
def _lease(source: Source[R]) -> Iterator[Connection[R]]:
    if isinstance(source, Connection):
        yield source
    elif callable(getattr(source, "connection", None)):
        with source.connection() as lent:  # type: ignore[union-attr]
            yield lent
    elif callable(source):
        with closing(source()) as opened:
            yield opened
    else:
        raise InterfaceError(f"{source!r} is no connection, no pool and opens no connection")
