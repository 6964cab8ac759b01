"""The sync cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dqlite_dbapi._results import BaseCursor, Parameters

if TYPE_CHECKING:
    from dqlite_dbapi.connection import Connection

R = TypeVar("R")


class Cursor(BaseCursor, Generic[R]):
    """Executes statements on its connection and fetches their rows (PEP 249).

    `R` is what a row becomes: a tuple, or what the `row_factory` makes of it.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection)
        self._connection = connection

    @property
    def connection(self) -> Connection[Any]:
        """The connection that made this cursor."""
        return self._connection

    def execute(
        self, sql: str, parameters: Parameters = (), /, *, consistency: str | None = None
    ) -> Cursor[R]:
        """Run one statement; returns the cursor itself, as `sqlite3` does.

        `parameters` fill `?`, `?1` (a sequence) or `:name` (a mapping). `consistency` of a read is
        `leader`, `linearizable` or `stale`, by default the connection's. Raises `ProgrammingError`
        for a wrong number of parameters or several statements, `CommitUnknown` when an autocommit
        write was sent and its answer is lost, else the class that PEP 249 gives the failure.
        """
        statement, values = self._prepare(sql, parameters)
        connection = self._connection
        if consistency is None and statement.is_simple and not connection._is_special:
            self._accept(statement, connection._quickly(statement, values))
        elif (consistency or connection._options.consistency) == "stale" and statement.is_read:
            self._accept(
                statement, connection._stale(statement, self._base._adapters.adapt_all(values))
            )
        else:
            flow = connection._perform(statement, values, consistency)
            self._accept(statement, connection._run(flow))
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor[R]:
        """Run an INSERT, UPDATE or DELETE once for each item; `rowcount` is their sum.

        Items before one that fails stay in the transaction, as with `sqlite3`.
        """
        self._connection._run(self._many(sql, parameters))
        return self

    def executescript(self, script: str, /) -> Cursor[R]:
        """Commit, then run the statements of `script` one by one (as `sqlite3`).

        None is begun for it: without BEGIN and COMMIT in it, each statement stands for itself.
        """
        self._require_open()
        self._forget()
        self._connection._run(self._connection._script(script))
        return self

    def fetchone(self) -> R | None:
        """The next row, or None behind the last one."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[R]:
        """Up to `size` rows (default `arraysize`), fewer only at the end."""
        rows = self._require_rows()
        wanted = self.arraysize if size is None else size
        found: list[Any] = []
        while len(found) < wanted:
            if rows.is_waiting:
                self._connection._advance(rows)
            taken = rows.take(wanted - len(found))
            if not taken:
                break
            found += self._made(taken)
        return found

    def fetchall(self) -> list[R]:
        """All rows that were not fetched yet."""
        rows = self._rows
        if rows is None or self._closed or self._base._closed:
            rows = self._require_rows()
        if rows.more:
            self._connection._advance(rows, to_end=True)
        return self._made(rows.take_all())

    def scroll(self, value: int, mode: str = "relative") -> None:
        """Move to another row of the result (PEP 249): on, or back among the rows still held.

        `IndexError` outside of the result, `NotSupportedError` for rows no longer held.
        """
        rows = self._require_rows()
        distance = self._distance(rows, value, mode)
        if not rows.move(distance):
            if distance > 0 and rows.more:
                self._connection._advance(rows, to_end=True)
            if distance < 0 or not rows.move(distance):
                raise self._out_of_range(rows, distance)

    def close(self) -> None:
        """Give up the cursor and the rows that it has not fetched; may be repeated."""
        if not self._closed:
            self._closed = True
            if self._rows is not None and self._rows.more:
                self._connection._give_up(self._rows)
            self._rows = None

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        rows = self._rows
        if rows is None or self._closed or self._base._closed:
            rows = self._require_rows()
        index = rows.index
        if index >= len(rows.rows):
            if rows.more:
                self._connection._advance(rows)
            if not rows.is_filled:
                raise StopIteration
            index = rows.index
        rows.index = index + 1
        rows.given += 1
        row, convert = rows.rows[index], self._convert
        return row if convert is None else convert(row)  # type: ignore[return-value]

    def __enter__(self) -> Cursor[R]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
