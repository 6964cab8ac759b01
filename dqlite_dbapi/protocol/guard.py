"""Statements that hurt servers: which are refused, and which are answered on the client.

Facts: docs/reference of server hazards H1 to H12; each row was seen on real members.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dqlite_dbapi.errors import NotSupportedError
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.sql import Kind, Pragma, Statement


class LocalAnswer(NamedTuple):
    """Rows given without asking the server; no names means no rows."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


_REFUSED_PRAGMAS = {
    "page_size": "the page size is fixed",
    "wal_checkpoint": "members checkpoint by themselves",
    "wal_autocheckpoint": "members checkpoint by themselves",
    "optimize": "run ANALYZE instead",
}
#: Reading these is harmless on every engine.
_READABLE = frozenset({"page_size", "wal_autocheckpoint"})
#: Refused by newer engines even when only read, and without effect on the others.
_INERT = {"locking_mode": "normal", "read_uncommitted": 0}
_SAFE_SYNCHRONOUS = frozenset({"0", "1", "off", "normal"})


def check(statement: Statement, flavour: Flavour) -> LocalAnswer | None:
    """Raise `NotSupportedError` for a harmful statement; an answer if the client can give it."""
    if statement.returning and flavour.returning == "refused":
        raise NotSupportedError(
            "RETURNING crashes this member's engine, so the statement was not sent",
            hint="read the row back, or upgrade libdqlite to 1.18.6 or newer",
        )
    if statement.kind is Kind.ATTACH:
        raise NotSupportedError(
            f"{statement.verb} is not supported: a connection has exactly one database",
            hint="open another connection for another database",
        )
    if statement.kind is Kind.VACUUM:
        raise NotSupportedError("VACUUM is refused: with some engines it damages the member")
    if statement.pragma is not None:
        return _check_pragma(statement.pragma)
    return None


def _check_pragma(pragma: Pragma) -> LocalAnswer | None:
    name, value = pragma
    if name in _REFUSED_PRAGMAS and not (value is None and name in _READABLE):
        raise _refused(pragma, _REFUSED_PRAGMAS[name])
    if name == "journal_mode":
        if value not in (None, "wal"):
            raise _refused(pragma, "the journal mode is always WAL")
        return LocalAnswer((name,), [("wal",)])
    if name == "synchronous" and value is not None:
        if value not in _SAFE_SYNCHRONOUS:
            raise _refused(pragma, "durability comes from the Raft log on a majority of members")
        return LocalAnswer((), [])
    if name in _INERT:
        if value is None or name == "locking_mode":
            return LocalAnswer((name,), [(_INERT[name],)])
        return LocalAnswer((), [])
    return None


def _refused(pragma: Pragma, reason: str) -> NotSupportedError:
    value = "" if pragma.value is None else f" = {pragma.value}"
    return NotSupportedError(f"PRAGMA {pragma.name}{value} is refused: {reason}")
