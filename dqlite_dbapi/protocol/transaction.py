"""Knows whether a transaction is open on the server, what ends it, and when an outcome is unknown.

Autocommit writes, COMMIT and RELEASE of an outermost savepoint are the only points at which work
becomes durable, so only there can a lost answer leave the outcome unknown (wire-protocol 8.3).
"""

from __future__ import annotations

from enum import Enum

from dqlite_dbapi.errors import (
    AMBIGUOUS_CODES,
    CommitUnknown,
    ConnectionLost,
    Error,
    IntegrityError,
    Interrupted,
    ProtocolViolation,
    Timeout,
)
from dqlite_dbapi.sql import Kind, Statement

#: Primary codes after which SQLite itself may have rolled the transaction back:
#: ABORT, NOMEM, INTERRUPT, IOERR, FULL and CONSTRAINT (ON CONFLICT ROLLBACK, RAISE(ROLLBACK)).
_MAY_ROLL_BACK = frozenset({4, 7, 9, 10, 13, 19})
#: PRAGMAs whose value is stored in the database and replicated.
_DURABLE_PRAGMAS = frozenset({"user_version", "application_id", "schema_version"})


#: Before these a transaction is begun: DDL is part of it, and SAVEPOINT is inside one (PEP 249).
_BEGINS = frozenset({Kind.WRITE, Kind.SCHEMA, Kind.SAVEPOINT})
_LEGACY_BEGINS = frozenset({Kind.WRITE})


def implied_by(autocommit: bool | int, isolation_level: str | None) -> frozenset[Kind]:
    """Kinds of statements before which a transaction is begun; -1 is sqlite3's legacy control."""
    if autocommit is True or isolation_level is None:
        return frozenset()
    return _LEGACY_BEGINS if autocommit else _BEGINS


#: These change nothing by themselves, so that the end of a transaction without others is harmless.
_ORGANIZES = frozenset(
    {Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO}
)


class TransactionState(Enum):
    """Whether the server holds a transaction for this connection."""

    IDLE = "idle"
    OPEN = "open"
    LOST = "lost"  # it was open when the connection broke, and nobody has rolled back yet


class Transaction:
    """Follows the statements that succeeded and failed on one connection."""

    __slots__ = ("_may_have_written", "_savepoints", "deadline", "serial", "state")

    def __init__(self) -> None:
        self.state = TransactionState.IDLE
        self.serial = 0  #: how many transactions have ended
        self.deadline: float | None = None  #: by the clock, for the one that began last
        self._savepoints: list[str] | None = None  # a list when a savepoint began it
        self._may_have_written = False

    @property
    def is_open(self) -> bool:
        """True while the server holds a transaction."""
        return self.state is TransactionState.OPEN

    def commits(self, statement: Statement) -> bool:
        """True when success of `statement` makes work durable; reading alone leaves none."""
        if statement.kind is Kind.COMMIT:
            return self.is_open and self._may_have_written
        if statement.kind is Kind.RELEASE:
            return self._may_have_written and self._releases_all(statement)
        if self.is_open or statement.is_read:
            return False
        if statement.pragma is not None:
            return statement.pragma.name in _DURABLE_PRAGMAS
        return statement.kind not in (Kind.BEGIN, Kind.SAVEPOINT, Kind.ROLLBACK, Kind.ROLLBACK_TO)

    def _releases_all(self, statement: Statement) -> bool:
        savepoints = self._savepoints
        return (
            bool(savepoints)
            and savepoints is not None
            and (
                statement.target in savepoints
                and len(savepoints) - 1 - savepoints[::-1].index(statement.target) == 0
            )
        )

    def sending(self, statement: Statement) -> None:
        """Take note of a statement, which is no plain read, before it is sent."""
        if statement.kind not in _ORGANIZES:
            self._may_have_written = True

    def succeeded(self, statement: Statement) -> None:
        """Take note of a statement that the server has carried out."""
        kind = statement.kind
        if kind is Kind.BEGIN:
            self.state, self._savepoints = TransactionState.OPEN, None
            self._may_have_written = False
        elif kind in (Kind.COMMIT, Kind.ROLLBACK):
            self.ended()
        elif kind is Kind.SAVEPOINT:
            if not self.is_open:
                self.state, self._savepoints = TransactionState.OPEN, []
                self._may_have_written = False
            if self._savepoints is not None:
                self._savepoints.append(statement.target)
        elif kind is Kind.RELEASE:
            if self._releases_all(statement):
                self.ended()
            elif self._savepoints and statement.target in self._savepoints:
                del self._savepoints[_last(self._savepoints, statement.target) :]
        elif (
            kind is Kind.ROLLBACK_TO and self._savepoints and (statement.target in self._savepoints)
        ):
            del self._savepoints[_last(self._savepoints, statement.target) + 1 :]

    def ended(self) -> None:
        """No transaction is open any more."""
        self.state, self._savepoints = TransactionState.IDLE, None
        self._may_have_written = False
        self.serial += 1

    def lost(self) -> None:
        """The connection broke; an open transaction was rolled back by the server."""
        if self.is_open:
            self.state = TransactionState.LOST

    def may_be_gone(self, error: Error) -> bool:
        """True when SQLite may have rolled the open transaction back by itself with `error`."""
        if not self.is_open or error.code is None or error.is_disconnect:
            return False
        return isinstance(error, IntegrityError) or error.code & 0xFF in _MAY_ROLL_BACK

    def require_usable(self) -> None:
        """Raise `ConnectionLost` between the loss of a transaction and the user's rollback."""
        if self.state is TransactionState.LOST:
            raise ConnectionLost(
                "the transaction was lost with its connection, and nothing of it was applied",
                hint="call rollback() and run the transaction again",
            )


def _last(savepoints: list[str], name: str) -> int:
    return len(savepoints) - 1 - savepoints[::-1].index(name)


def outcome(error: Error, *, commits: bool) -> Error:
    """The error to show for `error` of a request that was sent.

    A lost answer, and the codes that leave both possible, become `CommitUnknown` at the point
    where work becomes durable.
    """
    if not commits:
        return error
    if error.code is not None and not isinstance(error, Interrupted):
        unknown = error.code in AMBIGUOUS_CODES
    else:
        unknown = isinstance(error, (ConnectionLost, Timeout, Interrupted, ProtocolViolation))
    if not unknown:
        return error
    return CommitUnknown(
        f"the outcome is unknown: {error.message}",
        code=None if isinstance(error, Interrupted) else error.code,
        address=error.address,
        hint="the write may have been applied; look before you repeat it",
    )
