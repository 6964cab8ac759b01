"""The one exception tree (PEP 249 names at the top) and the table from FAILURE codes to classes.

Attributes carry meaning, never message text: see `Error`.
"""

from __future__ import annotations

from typing import ClassVar


class Warning(Exception):  # noqa: A001 - the name is PEP 249's
    """Important warnings (PEP 249); the driver itself raises none."""


class Error(Exception):
    """Base of every error of this distribution (PEP 249).

    Attributes: `code` the server's (extended) SQLite or dqlite code or None, `name` its symbol,
    `address` the member that answered or was dialled, `hint` one sentence of advice or None.
    """

    is_disconnect: ClassVar[bool] = False  #: the connection (and an open transaction) is gone
    is_retryable: ClassVar[bool] = False  #: the work was certainly not applied
    is_ambiguous: ClassVar[bool] = False  #: the work may or may not have been applied

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = None,
        address: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.address = address
        self.hint = hint

    @property
    def name(self) -> str | None:
        """Symbol of `code`, such as `SQLITE_BUSY`; None without a code."""
        return None if self.code is None else code_name(self.code)

    @property
    def sqlite_errorcode(self) -> int | None:
        """Same as `code`, under the name that `sqlite3` uses."""
        return self.code

    @property
    def sqlite_errorname(self) -> str | None:
        """Same as `name`, under the name that `sqlite3` uses."""
        return self.name

    def __str__(self) -> str:
        notes = [part for part in (self.name, self.address and f"member {self.address}") if part]
        text = f"{self.message} [{', '.join(notes)}]" if notes else self.message
        return f"{text} (hint: {self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.code, self.address, self.hint)


def _rebuild(
    kind: type[Error], message: str, code: int | None, address: str | None, hint: str | None
) -> Error:
    return kind(message, code=code, address=address, hint=hint)


class InterfaceError(Error):
    """Wrong use of the driver rather than of the database (PEP 249)."""


class DatabaseError(Error):
    """Errors of the database (PEP 249)."""


class DataError(DatabaseError):
    """A value that cannot be stored or sent: out of range, too big, NUL in text (PEP 249)."""


class OperationalError(DatabaseError):
    """Errors of the database's operation, not the programmer's fault (PEP 249)."""


class IntegrityError(DatabaseError):
    """A constraint was violated (PEP 249)."""


class InternalError(DatabaseError):
    """The server or the driver is in a state that should not exist (PEP 249)."""


class ProgrammingError(DatabaseError):
    """Bad SQL, a missing table, a wrong number of parameters, a closed cursor (PEP 249)."""


class ConnectionClosed(ProgrammingError):
    """The connection, or the cursor's connection, was closed by the program."""

    is_disconnect = True


class NotSupportedError(DatabaseError):
    """The server cannot do this, or would be hurt by it (PEP 249)."""


class ClientError(Error):
    """What keeps a client from its cluster: closed, no leader, a lost connection."""


class ClientClosed(InterfaceError, ClientError):
    """The cluster client was closed by the program."""


class ConnectionLost(OperationalError, ClientError):
    """The connection broke where nothing was applied; an open transaction is rolled back."""

    is_disconnect = True
    is_retryable = True


class NotLeader(ConnectionLost):
    """The member is not, or no longer, the leader; nothing was applied."""


class NoLeader(OperationalError, ClientError):
    """No member led the cluster, or could be reached, before the deadline; nothing was sent."""

    is_disconnect = True
    is_retryable = True


NoLeaderError = NoLeader


class Busy(OperationalError):
    """Another connection holds the write lock (SQLITE_BUSY); nothing was applied."""

    is_retryable = True


class BusySnapshot(Busy):
    """The transaction read an old snapshot and cannot write; roll back and redo it whole."""


class Timeout(OperationalError):
    """The deadline passed where nothing was applied; the connection was dropped."""

    is_disconnect = True
    is_retryable = True


class CommitUnknown(OperationalError):
    """A COMMIT or an autocommit write was sent and its outcome is unknown; never re-sent."""

    is_disconnect = True
    is_ambiguous = True
    token: str | None = None  #: what `was_applied` asks for, where `run_transaction` gave up


class Interrupted(OperationalError):
    """The program cancelled the call where nothing was applied; the connection was dropped."""

    is_disconnect = True

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = 9,
        address: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, address=address, hint=hint)


class PoolTimeout(OperationalError):
    """No connection of a pool became free in time; nothing was sent."""

    is_retryable = True


class PoolClosed(OperationalError):
    """The pool was closed, or not opened yet."""


class ProtocolViolation(InternalError):
    """A peer sent bytes that the protocol does not allow; the connection was dropped."""

    is_disconnect = True


class ErrorAttributes:
    """The exceptions, as attributes of a connection (PEP 249, optional extensions)."""

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError


NOT_LEADER = 10250
LEADERSHIP_LOST = 10506

_NAMES: dict[int, str] = {
    0: "SQLITE_OK", 1: "SQLITE_ERROR", 2: "SQLITE_INTERNAL", 3: "SQLITE_PERM", 4: "SQLITE_ABORT",
    5: "SQLITE_BUSY", 6: "SQLITE_LOCKED", 7: "SQLITE_NOMEM", 8: "SQLITE_READONLY",
    9: "SQLITE_INTERRUPT", 10: "SQLITE_IOERR", 11: "SQLITE_CORRUPT", 12: "SQLITE_NOTFOUND",
    13: "SQLITE_FULL", 14: "SQLITE_CANTOPEN", 15: "SQLITE_PROTOCOL", 16: "SQLITE_EMPTY",
    17: "SQLITE_SCHEMA", 18: "SQLITE_TOOBIG", 19: "SQLITE_CONSTRAINT", 20: "SQLITE_MISMATCH",
    21: "SQLITE_MISUSE", 23: "SQLITE_AUTH", 25: "SQLITE_RANGE", 26: "SQLITE_NOTADB",
    100: "SQLITE_ROW", 101: "SQLITE_DONE", 261: "SQLITE_BUSY_RECOVERY", 266: "SQLITE_IOERR_READ",
    275: "SQLITE_CONSTRAINT_CHECK", 517: "SQLITE_BUSY_SNAPSHOT",
    531: "SQLITE_CONSTRAINT_COMMITHOOK", 778: "SQLITE_IOERR_WRITE",
    787: "SQLITE_CONSTRAINT_FOREIGNKEY", 1001: "DQLITE_PROTO", 1002: "DQLITE_NOTFOUND",
    1005: "DQLITE_PARSE", 1034: "SQLITE_IOERR_FSYNC", 1299: "SQLITE_CONSTRAINT_NOTNULL",
    1555: "SQLITE_CONSTRAINT_PRIMARYKEY", 1811: "SQLITE_CONSTRAINT_TRIGGER",
    2067: "SQLITE_CONSTRAINT_UNIQUE", 2579: "SQLITE_CONSTRAINT_ROWID",
    3091: "SQLITE_CONSTRAINT_DATATYPE", NOT_LEADER: "SQLITE_IOERR_NOT_LEADER",
    LEADERSHIP_LOST: "SQLITE_IOERR_LEADERSHIP_LOST",
}  # fmt: skip

_CLASSES: dict[int, type[Error]] = {
    0: ProgrammingError,
    1: OperationalError,
    2: InternalError,
    5: Busy,
    9: ConnectionLost,
    12: NotLeader,
    17: OperationalError,
    18: DataError,
    19: IntegrityError,
    20: DataError,
    21: ProgrammingError,
    23: NotSupportedError,
    25: ProgrammingError,
    100: InternalError,
    517: BusySnapshot,
    1001: DataError,
    1005: InternalError,
    NOT_LEADER: NotLeader,
}

#: Codes after which a COMMIT or an autocommit write may still be applied (wire-protocol 8.3).
AMBIGUOUS_CODES = frozenset({4, 10, 778, LEADERSHIP_LOST})


#: What engines below 1.18.2 leak for a lost leader; SQLite means SQLITE_NOMEM by it.
_RAFT_NOTLEADER = 7


#: What 1.18.7 answers to RETURNING while another connection writes; nothing was applied.
_QUEUED_RETURNING = "nonempty statement tail"


def code_name(code: int) -> str:
    """Symbol of a FAILURE code; an unknown extended code falls back to its primary one."""
    return _NAMES.get(code) or _NAMES.get(code & 0xFF) or f"code {code}"


def from_failure(code: int, message: str, address: str | None = None) -> Error:
    """Build the exception for a FAILURE answer (wire-protocol 8.1), unambiguous ones only.

    A leaked raft code is told from SQLITE_NOMEM by SQLite's fixed text for the latter.
    """
    if code == _RAFT_NOTLEADER and message != "out of memory":
        return NotLeader(message, code=code, address=address)
    if code == LEADERSHIP_LOST:
        return ConnectionLost(message, code=code, address=address)
    if code == 1 and message == _QUEUED_RETURNING:
        return Busy(message, code=code, address=address)
    kind = _CLASSES.get(code) or _CLASSES.get(code & 0xFF, OperationalError)
    return kind(message, code=code, address=address)
