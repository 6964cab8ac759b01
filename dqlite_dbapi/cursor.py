"""The sync cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from dqlite_dbapi._results import BaseCursor, Parameters
from dqlite_dbapi.errors import ProgrammingError
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.sql import Kind, bind
from dqlite_dbapi.wire.rows import Row

if TYPE_CHECKING:
    from dqlite_dbapi.connection import Connection


class Cursor(BaseCursor):
    """Executes statements on its connection and fetches their rows (PEP 249)."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def connection(self) -> Connection:
        """The connection that made this cursor."""
        return self._connection

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement; returns the cursor itself, as `sqlite3` does.

        `parameters` fill `?`, `?1` (a sequence) or `:name` (a mapping). Raises `ProgrammingError`
        for a wrong number of them or several statements, `CommitUnknown` when an autocommit
        write was sent and its answer is lost, else the class that PEP 249 gives the failure.
        """
        self._require_open()
        statement = lookup(sql)
        values = bind(statement, parameters)
        self._forget()
        connection = self._connection
        self._accept(statement, connection._run(connection._execute(statement, values)))
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run an INSERT, UPDATE or DELETE once for each item; `rowcount` is their sum.

        Items before one that fails stay in the transaction, as with `sqlite3`.
        """
        self._require_open()
        statement = lookup(sql)
        if statement.kind is not Kind.WRITE or statement.returning:
            raise ProgrammingError("executemany() can only execute DML statements without rows.")
        self._forget()
        connection = self._connection
        total = 0
        for item in parameters:
            values = bind(statement, item)
            _, result = connection._run(connection._execute(statement, values))
            if result is not None:
                total += result.rows_affected
        self._rowcount = total
        return self

    def fetchone(self) -> Row | None:
        """The next row, or None behind the last one."""
        rows = self._require_rows()
        if rows.is_waiting:
            self._connection._advance(rows)
        taken = rows.take(1)
        return taken[0] if taken else None

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Up to `size` rows (default `arraysize`), fewer only at the end."""
        rows = self._require_rows()
        wanted = self.arraysize if size is None else size
        found: list[Row] = []
        while len(found) < wanted:
            if rows.is_waiting:
                self._connection._advance(rows)
            taken = rows.take(wanted - len(found))
            if not taken:
                break
            found += taken
        return found

    def fetchall(self) -> list[Row]:
        """All rows that were not fetched yet."""
        rows = self._require_rows()
        if rows.more:
            self._connection._advance(rows, to_end=True)
        rows.require_complete()
        return rows.take()

    def close(self) -> None:
        """Give up the cursor and the rows that it has not fetched; may be repeated."""
        if not self._closed:
            self._closed = True
            if self._rows is not None and self._rows.more:
                self._connection._give_up(self._rows)
            self._rows = None

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
