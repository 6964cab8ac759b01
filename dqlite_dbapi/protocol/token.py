"""Exactly once: a token row in each transaction tells what became of a COMMIT without an answer.

The first write of a transaction is a row with a random key in a table of the database's own. When
the answer to COMMIT is lost, a *fence* inserts the same key in a transaction of its own:

- it finds the transaction's row: the work was applied, and what can be seen is durable;
- it commits its own row: the work never will be applied, since a COMMIT that is still on its way,
  in a socket or at a deposed leader, fails on the key.

A look-up is not enough: the row of a COMMIT that is still on its way is not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from dqlite_dbapi.errors import (
    CommitUnknown,
    ConnectionLost,
    Error,
    InterfaceError,
    InternalError,
    Interrupted,
    OperationalError,
    ProgrammingError,
)
from dqlite_dbapi.protocol.backoff import delays
from dqlite_dbapi.protocol.effects import Flow, Sleep
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.transaction import TransactionState
from dqlite_dbapi.sql import Statement

#: The table of tokens. `fence` is NULL in a transaction's own row, else it names the call that
#: fenced it; `expires` is in seconds since 1970 on the leader's clock.
DDL = """\
CREATE TABLE IF NOT EXISTS main.dqlite_transactions (
    token BLOB NOT NULL PRIMARY KEY,
    fence BLOB,
    expires INTEGER NOT NULL
) WITHOUT ROWID"""

_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"
_CREATE = lookup(DDL)
_MARK = lookup(f"INSERT INTO main.dqlite_transactions VALUES (?, NULL, {_NOW} + ?)")  # noqa: S608
_FENCE = lookup(f"INSERT OR IGNORE INTO main.dqlite_transactions VALUES (?, ?, {_NOW} + ?)")  # noqa: S608
_LOOK = lookup("SELECT fence FROM main.dqlite_transactions WHERE token = ?")
#: Looks at a few rows behind a random key, so that it costs the same however many there are.
_PRUNE = lookup(
    "DELETE FROM main.dqlite_transactions WHERE token IN (SELECT token FROM"  # noqa: S608
    f" main.dqlite_transactions WHERE token >= ? LIMIT 200) AND expires < {_NOW}"
)
_BEGIN = {mode: lookup(f"BEGIN {mode}") for mode in ("deferred", "immediate", "exclusive")}
_KEY_BYTES = 16
#: One transaction in this many looks at 200 rows: three times as many as are written meanwhile.
_PRUNE_ONE_IN = 64
_SQLITE_ERROR = 1


class _Transaction(Protocol):
    @property
    def state(self) -> TransactionState: ...
    @property
    def serial(self) -> int: ...


class Database(Protocol):
    """What is needed of a connection: its flows, which do not wait by themselves."""

    @property
    def _transaction(self) -> _Transaction: ...

    _changes: int

    def _perform(self, statement: Statement, params: Sequence[object]) -> Flow[Any]: ...
    def _commit(self) -> Flow[None]: ...
    def _rollback(self) -> Flow[None]: ...


class Token(NamedTuple):
    """`key` of a transaction's row, and until when (seconds since 1970) it can be asked for."""

    key: bytes
    until: int

    def __str__(self) -> str:
        return f"{self.key.hex()}-{self.until}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read what `str` wrote; `InterfaceError` for anything else."""
        key, _, until = text.partition("-")
        try:
            token = cls(bytes.fromhex(key), int(until))
        except ValueError:
            token = cls(b"", 0)
        if len(token.key) != _KEY_BYTES:
            raise InterfaceError(f"{text!r} is not the token of a transaction")
        return token


@dataclass(frozen=True)
class Clocks:
    """Time and chance, passed in: seconds that never jump, seconds since 1970, [0, 1), bytes."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    entropy: Callable[[int], bytes]


@dataclass(frozen=True)
class Policy:
    """How `run_transaction` goes about its work; times in seconds.

    `InterfaceError` for values that make no sense, such as a deadline that tokens do not outlive.
    """

    retries: int | None = None
    deadline: float = 60.0
    exactly_once: bool = True
    begin: str = "immediate"
    on_retry: Callable[[Error, int], object] | None = None
    keep_tokens: float = 3600.0

    def __post_init__(self) -> None:
        if self.begin not in _BEGIN:
            raise InterfaceError(f"begin is {self.begin!r}, not one of {', '.join(_BEGIN)}")
        if self.retries is not None and self.retries < 0:
            raise InterfaceError(f"retries is {self.retries}; it counts from 0")
        if not 0 < self.deadline < self.keep_tokens / 2:
            raise InterfaceError(
                f"deadline is {self.deadline:g} s; it must be above 0 and below half of"
                f" keep_tokens, which is {self.keep_tokens:g} s"
            )


class _Phase(Enum):
    OUTSIDE = 0  # no transaction of ours
    BEGIN = 1
    WORK = 2
    COMMIT = 3


class Course:
    """One call of `run_transaction`: what was tried, and what an error means for it."""

    def __init__(self, policy: Policy, clocks: Clocks) -> None:
        self._policy = policy
        self._clocks = clocks
        self._give_up = clocks.monotonic() + policy.deadline
        self._pauses: Iterator[float] = delays(0.01, 1.0, clocks.random)
        self._failures = 0
        self._token: Token | None = None
        self._phase = _Phase.OUTSIDE
        self._serial = 0
        self._is_final = False

    @property
    def token(self) -> Token | None:
        """The token of the transaction that was begun last; None without one."""
        return self._token

    def begin(self, database: Database) -> Flow[None]:
        """Open a transaction and write its token; `ProgrammingError` if one is open already."""
        self._phase, self._token = _Phase.OUTSIDE, None
        if database._transaction.state is not TransactionState.IDLE:
            raise ProgrammingError(
                "the connection has an open transaction already",
                hint="commit or roll back first; a transaction cannot run inside another",
            )
        self._phase = _Phase.BEGIN
        yield from _own(database, _BEGIN[self._policy.begin])
        if self._policy.exactly_once:
            keep, clocks = self._policy.keep_tokens, self._clocks
            self._token = Token(clocks.entropy(_KEY_BYTES), int(clocks.wall() + keep / 2))
            yield from _write(database, _MARK, (self._token.key, int(keep)))
            if clocks.random() * _PRUNE_ONE_IN < 1:
                yield from _own(database, _PRUNE, (clocks.entropy(_KEY_BYTES),))
        self._serial = database._transaction.serial
        self._phase = _Phase.WORK

    def finish(self, database: Database) -> Flow[None]:
        """Commit what `begin` opened; returns when it is certain that it was applied.

        `ConnectionLost` when it is certain that it was not; `CommitUnknown` with the token when
        the deadline passed before either was. `ProgrammingError` if another transaction is open
        than the one of `begin`, or none.
        """
        if database._transaction.serial != self._serial:
            raise ProgrammingError(
                "the function ended the transaction itself; what it committed stays",
                hint="leave commit() and rollback() to run_transaction; savepoints are fine",
            )
        self._phase = _Phase.COMMIT
        try:
            yield from database._commit()
        except CommitUnknown as unknown:
            token = self._token
            if token is None:
                raise
            if _is_cancelled(unknown):
                raise unsettled(token, unknown) from unknown
            keep = self._policy.keep_tokens
            if not (yield from settle(database, token, keep, self._clocks, self._give_up)):
                raise ConnectionLost(
                    "the answer to COMMIT was lost, and nothing was applied",
                    address=unknown.address,
                ) from unknown
        self._phase = _Phase.OUTSIDE

    def failed(self, database: Database, error: BaseException) -> bool:
        """Take note of what left an attempt; True when the transaction is to be rolled back.

        What interrupted a COMMIT and is no `Error`, such as Ctrl-C, gets a `CommitUnknown` as its
        cause. There is no further attempt when the function had ended the transaction itself.
        """
        if self._phase is _Phase.COMMIT and not isinstance(error, Error):
            error.__cause__ = unsettled(self._token, error)
        if self._phase is _Phase.WORK and database._transaction.serial != self._serial:
            self._is_final = True
        return self._phase is not _Phase.OUTSIDE

    def pause(self, error: Error) -> float | None:
        """Seconds to wait before the next attempt; None when `error` is what the caller gets."""
        policy = self._policy
        self._failures += 1
        if self._is_final or not error.is_retryable:
            return None
        if policy.retries is not None and self._failures > policy.retries:
            return None
        seconds = next(self._pauses)
        if self._clocks.monotonic() + seconds >= self._give_up:
            return None
        if policy.on_retry is not None:
            policy.on_retry(error, self._failures)
        return seconds


def settle(
    database: Database, token: Token, keep: float, clocks: Clocks, give_up: float
) -> Flow[bool]:
    """True when the transaction of `token` was applied, False when it never will be.

    Repeats the fence, whose row is kept for `keep` seconds, until that is known, at least once.
    `CommitUnknown` when `give_up` (on the monotonic clock) has passed, or when tokens of that age
    may have been removed.
    """
    name = clocks.entropy(_KEY_BYTES)
    pauses = delays(0.02, 0.5, clocks.random)
    is_repeated = False
    while True:
        if clocks.wall() >= token.until:
            raise unsettled(None, InterfaceError("its token is too old to be asked for"))
        try:
            if is_repeated:
                yield Sleep(next(pauses))
            return (yield from _fence(database, token.key, name, int(keep)))
        except Error as error:
            is_passing = error.is_retryable or (error.is_ambiguous and not _is_cancelled(error))
            if not is_passing or clocks.monotonic() >= give_up:
                raise unsettled(token, error) from error
        is_repeated = True


def _fence(database: Database, key: bytes, name: bytes, keep: int) -> Flow[bool]:
    """One attempt of `settle`; leaves no transaction open.

    A fence whose own COMMIT had no answer needs no settling: its row is found here, or written
    anew. All that counts is whether the row that can be seen is the transaction's.
    """
    yield from _own(database, _BEGIN["immediate"])
    try:
        yield from _write(database, _FENCE, (key, name, keep))
        reply = yield from _own(database, _LOOK, (key,))
        if not reply.rows:
            raise InternalError("the row of a token was written and cannot be read")
        was_applied = reply.rows[0][0] is None
        if not was_applied:
            yield from database._commit()
    except Error:
        yield from database._rollback()
        raise
    if was_applied:
        yield from database._rollback()
    return was_applied


def _write(database: Database, statement: Statement, params: Sequence[object]) -> Flow[None]:
    """Write to the table, which is created where it is missing, in the same transaction."""
    try:
        yield from _own(database, statement, params)
    except OperationalError as error:
        if error.code is None or error.code & 0xFF != _SQLITE_ERROR:
            raise
        yield from _own(database, _CREATE)
        yield from _own(database, statement, params)


def _own(database: Database, statement: Statement, params: Sequence[object] = ()) -> Flow[Any]:
    """Run a statement that `total_changes` does not count."""
    changes = database._changes
    reply = yield from database._perform(statement, params)
    database._changes = changes
    return reply


def _is_cancelled(error: Error) -> bool:
    """True when the program itself cancelled the COMMIT: it wants no more attempts."""
    return any(isinstance(e, Interrupted) for e in (error.__cause__, error.__context__))


def unsettled(token: Token | None, reason: BaseException) -> CommitUnknown:
    """The error of a COMMIT whose outcome could not be found out because of `reason`."""
    known = reason if isinstance(reason, Error) else None
    unknown = CommitUnknown(
        f"a COMMIT was not settled: {known.message if known else type(reason).__name__}",
        code=known.code if known else None,
        address=known.address if known else None,
        hint=f"ask was_applied(connection, '{token}')" if token is not None else None,
    )
    unknown.token = None if token is None else str(token)
    return unknown
