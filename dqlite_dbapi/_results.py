"""What sync and asyncio cursors share: the rows at hand and the facts about the last statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dqlite_dbapi.errors import Error, ProgrammingError
from dqlite_dbapi.sql import Kind, Statement
from dqlite_dbapi.wire.responses import Result
from dqlite_dbapi.wire.rows import Row

Parameters = Sequence[Any] | Mapping[str, Any]
Description = tuple[tuple[str, None, None, None, None, None, None], ...]


class RowBuffer:
    """Rows of one result that have arrived; `more` while the server still sends."""

    __slots__ = ("__weakref__", "error", "index", "more", "names", "rows")

    def __init__(self, names: tuple[str, ...], rows: list[Row], more: bool) -> None:
        self.names = names
        self.rows = rows
        self.more = more
        self.index = 0
        self.error: Error | None = None

    @property
    def is_waiting(self) -> bool:
        """True when every row at hand was given out and more are to come."""
        return self.more and self.index >= len(self.rows)

    def take(self, count: int | None = None) -> list[Row]:
        """Give out up to `count` rows, or all that are at hand, and forget them.

        An error that came while the result was read ahead is raised where its rows end.
        """
        start = self.index
        if count is None or start + count >= len(self.rows):
            taken = self.rows[start:] if start else self.rows
            self.rows = []
            self.index = 0
        else:
            taken = self.rows[start : start + count]
            self.index = start + count
        if not taken:
            self.require_complete()
        return taken

    def require_complete(self) -> None:
        """Raise the error that came while the result was read ahead, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class Reply(NamedTuple):
    """Answer to a statement: rows, or what RESULT told."""

    rows: RowBuffer | None
    result: Result | None


class BaseCursor:
    """Attributes of PEP 249's cursor and the bookkeeping behind them."""

    def __init__(self) -> None:
        self.arraysize = 1
        self._rows: RowBuffer | None = None
        self._description: Description | None = None
        self._rowcount = -1
        self._lastrowid: int | None = None
        self._closed = False

    @property
    def description(self) -> Description | None:
        """One 7-tuple a column, of which only the name is known; None without rows (PEP 249)."""
        return self._description

    @property
    def rowcount(self) -> int:
        """Rows that the last INSERT, UPDATE or DELETE changed; -1 after any other statement."""
        return self._rowcount

    @property
    def lastrowid(self) -> int | None:
        """Rowid of the last row that this cursor inserted with `execute`; None before."""
        return self._lastrowid

    def setinputsizes(self, sizes: Sequence[Any], /) -> None:
        """Does nothing (PEP 249 allows that)."""

    def setoutputsize(self, size: int, column: int | None = None, /) -> None:
        """Does nothing (PEP 249 allows that)."""

    def _require_open(self) -> None:
        if self._closed:
            raise ProgrammingError("Cannot operate on a closed cursor.")

    def _require_rows(self) -> RowBuffer:
        self._require_open()
        if self._rows is None:
            raise ProgrammingError("the last statement gave no rows, or none was executed")
        return self._rows

    def _forget(self) -> None:
        self._rows = None
        self._description = None
        self._rowcount = -1

    def _accept(self, statement: Statement, reply: Reply) -> None:
        rows, result = reply
        if rows is not None:
            if rows.names:
                self._rows = rows
                self._description = tuple(
                    (name, None, None, None, None, None, None) for name in rows.names
                )
            if statement.returning:
                self._rowcount = len(rows.rows)
        elif result is not None and statement.kind is Kind.WRITE:
            self._rowcount = result.rows_affected
            if statement.inserts and result.rows_affected:
                self._lastrowid = result.last_insert_id
