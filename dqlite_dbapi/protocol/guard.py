"""Statements that hurt servers: which are refused, and which are answered on the client.

The rows of docs/reference/hazards.md; each was seen on real members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from dqlite_dbapi.errors import DataError, NotSupportedError
from dqlite_dbapi.protocol import hazards
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.sql import Kind, Pragma, Statement


class LocalAnswer(NamedTuple):
    """Rows given without asking the server; no names means no rows."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


_HAZARDS = {
    hazards.OPTIMIZE: (
        "optimize() writes within a read, which crashes or locks members",
        "run ANALYZE, or INSERT INTO t(t) VALUES('optimize') for a full-text table t",
    ),
    hazards.TOKENIZER: ("fts3_tokenizer() exchanges pointers with the member's process", None),
    hazards.PAGES: ("writing to sqlite_dbpage destroys the database", None),
    hazards.SCHEMA_TABLE: (
        "a wrong row in the schema table destroys the database and crashes members",
        "use ALTER TABLE",
    ),
    hazards.FAIL: (
        "the conflict resolution FAIL locks the database with some engines",
        "use ABORT instead",
    ),
    hazards.INTO: ("VACUUM INTO writes no file that anybody can reach", None),
}
_REFUSED_PRAGMAS = {
    "page_size": "the page size is fixed",
    "wal_checkpoint": "members checkpoint by themselves",
    "wal_autocheckpoint": "members checkpoint by themselves",
    "optimize": "run ANALYZE instead",
    "hard_heap_limit": "the limit is the whole member's",
    "soft_heap_limit": "the limit is the whole member's",
    "temp_store_directory": "the directory is the whole member's",
    "data_store_directory": "the directory is the whole member's",
}
#: Reading these is harmless on every engine.
_READABLE = frozenset(_REFUSED_PRAGMAS) - {"wal_checkpoint", "optimize"}
#: Refused by newer engines even when only read, and without effect on the others.
_INERT = {"locking_mode": "normal", "read_uncommitted": 0}
#: Values that are harmless on every engine; None is reading.
_SAFE_VALUES = {
    "synchronous": ({None, "0", "1", "off", "normal"}, "durability comes from the Raft log"),
    "count_changes": ({None, "0", "off", "no", "false"}, "rows from a write crash members"),
    "journal_mode": ({None, "wal"}, "the journal mode is always WAL"),
}
_IN_MEMORY = frozenset({None, "2", "memory"})


def check(statement: Statement, flavour: Flavour, *, vacuum: bool = False) -> LocalAnswer | None:
    """Raise `NotSupportedError` for a harmful statement; an answer if the client can give it.

    `vacuum`: VACUUM is wanted where the engine can do it. `DataError` for what no column may hold.
    """
    if statement.returning and flavour.returning == "refused":
        raise NotSupportedError(
            "RETURNING crashes this member's engine, so the statement was not sent",
            hint="read the row back, or upgrade libdqlite to 1.18.6 or newer",
        )
    if statement.hazard:
        raise _hazardous(statement.hazard)
    if statement.kind is Kind.ATTACH and not statement.attaches:
        raise NotSupportedError(
            f"{statement.verb} is not supported: a connection has exactly one database",
            hint="open another connection for another database",
        )
    if statement.kind is Kind.VACUUM:
        _check_vacuum(flavour, wanted=vacuum)
    if statement.pragma is not None:
        return _check_pragma(statement.pragma, flavour)
    return None


def needs_transaction(statement: Statement, flavour: Flavour) -> bool:
    """True when `statement` hurts this engine outside of a transaction (hazards H1 and H23)."""
    return (statement.returning and flavour.returning == "transaction") or (
        statement.fails_halfway and not flavour.halfway
    )


def check_name(name: str, known: Iterable[str], flavour: Flavour) -> None:
    """Raise `NotSupportedError` where opening database `name` opens a `known` one instead (H34)."""
    if flavour.exact_names:
        return
    for other in known:
        if other != name and other.startswith(name):
            raise NotSupportedError(
                f"this member's engine opens {other!r} when it is asked for {name!r}",
                hint="give databases names that do not begin with each other",
            )


def _hazardous(hazard: str) -> Exception:
    if hazard == hazards.DEFAULT:
        return DataError(
            "a column declared BOOLEAN, DATE, DATETIME or TIMESTAMP has a default value that "
            "crashes members when it is read",
            hint="use an INTEGER, or another type name, such as BOOL or TEXT",
        )
    if hazard == hazards.LONG_NAMES:
        return NotSupportedError(
            "the names of the result's columns are too long together",
            hint="give the expressions short aliases, and pass long values as parameters",
        )
    reason, hint = _HAZARDS[hazard]
    return NotSupportedError(f"the statement was not sent: {reason}", hint=hint)


def _check_vacuum(flavour: Flavour, *, wanted: bool) -> None:
    if not flavour.vacuum:
        raise NotSupportedError("this member's engine cannot VACUUM")
    if not wanted:
        raise NotSupportedError(
            "VACUUM is refused: with some engines a snapshot taken after it crashes the member",
            hint="connect with vacuum=True, which also writes 4 MB afterwards to prevent that",
        )


def _check_pragma(pragma: Pragma, flavour: Flavour) -> LocalAnswer | None:
    name, value = pragma
    if name in _REFUSED_PRAGMAS and not (value is None and name in _READABLE):
        raise _refused(pragma, _REFUSED_PRAGMAS[name])
    if name in _SAFE_VALUES and value not in _SAFE_VALUES[name][0]:
        raise _refused(pragma, _SAFE_VALUES[name][1])
    if name == "temp_store" and value not in _IN_MEMORY and not flavour.temp_files:
        raise _refused(pragma, "a large temporary table in a file crashes this member's engine")
    if name == "journal_mode":
        return LocalAnswer((name,), [("wal",)])
    if name == "synchronous" and value is not None:
        return LocalAnswer((), [])
    if name in _INERT:
        if value is None or name == "locking_mode":
            return LocalAnswer((name,), [(_INERT[name],)])
        return LocalAnswer((), [])
    return None


def _refused(pragma: Pragma, reason: str) -> NotSupportedError:
    value = "" if pragma.value is None else f" = {pragma.value}"
    return NotSupportedError(f"PRAGMA {pragma.name}{value} is refused: {reason}")
