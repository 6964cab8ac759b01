"""What sync and asyncio cursors share: the rows at hand and the facts about the last statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dqlite_dbapi._bulk import execute_many
from dqlite_dbapi.errors import Error, NotSupportedError, ProgrammingError
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.rowfactory import make_maker
from dqlite_dbapi.sql import Kind, Statement, bind
from dqlite_dbapi.wire.responses import Result
from dqlite_dbapi.wire.rows import Row, type_codes

if TYPE_CHECKING:
    from dqlite_dbapi._base import BaseConnection

Parameters = Sequence[Any] | Mapping[str, Any]
Convert = Callable[[Row], Any]
Description = tuple[tuple[str, int | None, None, None, None, None, None], ...]


class RowBuffer:
    """Rows of one result that have arrived; `more` while the server still sends.

    `rows` are those of the last part, of which the first `index` were given out already; `given`
    counts all that were.
    """

    __slots__ = ("__weakref__", "error", "given", "head", "index", "more", "names", "rows")

    def __init__(
        self, names: tuple[str, ...], rows: list[Row], more: bool, head: bytes = b""
    ) -> None:
        self.names = names
        self.rows = rows
        self.more = more
        self.head = head
        self.index = 0
        self.given = 0
        self.error: Error | None = None

    @property
    def is_waiting(self) -> bool:
        """True when every row at hand was given out and more are to come."""
        return self.more and self.index >= len(self.rows)

    @property
    def is_filled(self) -> bool:
        """True when a row is at hand; raises the error that came while the rest was read ahead."""
        if self.index < len(self.rows):
            return True
        self.require_complete()
        return False

    @property
    def codes(self) -> tuple[int, ...] | None:
        """Type codes of the first row's values, None without rows."""
        return type_codes(self.head, len(self.names)) if self.head else None

    def extend(self, rows: list[Row]) -> None:
        """Put the rows of another part behind those not given out yet, and forget the others."""
        self._clear()
        if self.rows:
            self.rows += rows
        else:
            self.rows = rows

    def _clear(self) -> None:
        if self.index:
            del self.rows[: self.index]
            self.index = 0

    def take(self, count: int) -> list[Row]:
        """Give out up to `count` rows of those at hand.

        An error that came while the result was read ahead is raised where its rows end.
        """
        taken = self.rows[self.index : self.index + count]
        self.index += len(taken)
        self.given += len(taken)
        if not taken and count:
            self.require_complete()
        return taken

    def take_all(self) -> list[Row]:
        """Give out all rows at hand and keep none; errors as with `take`."""
        if self.error is not None:
            self.require_complete()
        if self.index:
            self._clear()
        taken, self.rows = self.rows, []
        self.given += len(taken)
        return taken

    def move(self, count: int) -> bool:
        """Go `count` rows on, or back if negative, within the rows at hand; False if beyond."""
        target = self.index + count
        if not 0 <= target <= len(self.rows):
            return False
        self.index = target
        self.given += count
        return True

    def require_complete(self) -> None:
        """Raise the error that came while the result was read ahead, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


#: What a statement was answered: rows, or what RESULT told; None where nothing had to be sent.
Reply = RowBuffer | Result | None


class BaseCursor:
    """Attributes of PEP 249's cursor and the bookkeeping behind them."""

    def __init__(self, connection: BaseConnection) -> None:
        self.arraysize = 1
        self._row_factory: Callable[..., Any] | None = connection.row_factory
        self._base = connection
        self._rows: RowBuffer | None = None
        self._convert: Convert | None = None
        self._names: tuple[str, ...] | None = None
        self._rowcount = -1
        self._lastrowid: int | None = None
        self._operation: object = self  # the text of `_statement`, nothing as yet
        self._statement: Statement
        self._closed = False

    @property
    def row_factory(self) -> Callable[..., Any] | None:
        """What the rows that are fetched from now on become; None leaves them tuples."""
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: Callable[..., Any] | None) -> None:
        self._row_factory = factory
        if self._rows is not None:
            self._plan(self._rows)

    @property
    def description(self) -> Description | None:
        """One 7-tuple a column: its name, the type code of the first row's value, and Nones.

        The code equals PEP 249's type objects; it is None where there are no rows, and the whole
        is None after a statement without columns.
        """
        rows, names = self._rows, self._names
        if rows is None or names is None:
            return None
        codes = rows.codes or (None,) * len(names)
        return tuple(
            (name, code, None, None, None, None, None)
            for name, code in zip(names, codes, strict=True)
        )

    @property
    def rowcount(self) -> int:
        """Rows that the last INSERT, UPDATE or DELETE changed; -1 after any other statement."""
        return self._rowcount

    @property
    def lastrowid(self) -> int | None:
        """Rowid of the last row that this cursor inserted with `execute`; None before.

        Where an INSERT inserted nothing, that of the connection's last one (as `sqlite3`).
        """
        return self._lastrowid

    @property
    def rownumber(self) -> int | None:
        """Number of the row that is fetched next, from 0; None without a result (PEP 249)."""
        return None if self._rows is None else self._rows.given

    def setinputsizes(self, sizes: Sequence[Any], /) -> None:
        """Does nothing (PEP 249 allows that)."""

    def setoutputsize(self, size: int, column: int | None = None, /) -> None:
        """Does nothing (PEP 249 allows that)."""

    def _require_open(self) -> None:
        if self._closed:
            raise ProgrammingError("Cannot operate on a closed cursor.")
        self._base._require_open()

    def _require_rows(self) -> RowBuffer:
        rows = self._rows
        if rows is None or self._closed or self._base._closed:
            self._require_open()
            raise ProgrammingError("the last statement gave no rows, or none was executed")
        return rows

    def _prepare(self, sql: str, parameters: Parameters) -> tuple[Statement, Sequence[object]]:
        if self._closed or self._base._closed:
            self._require_open()
        if sql is self._operation:  # PEP 249: the cursor may remember its last one
            statement = self._statement
        else:
            statement = self._statement = lookup(sql)
            self._operation = sql
        if type(parameters) is tuple and len(parameters) == statement.slots:
            values: Sequence[object] = parameters
        else:
            values = bind(statement, parameters)
        # As `_forget`; with the check in `fetchall` a fiftieth of SELECT 1's time.
        self._rows = self._names = self._convert = None
        self._rowcount = -1
        return statement, values

    def _forget(self) -> None:
        self._rows = None
        self._names = None
        self._convert = None
        self._rowcount = -1

    def _accept(self, statement: Statement, reply: Reply) -> None:
        if isinstance(reply, RowBuffer):
            if reply.names:
                self._rows = reply
                base = self._base
                if self._row_factory is None and not base._detects and base.text_factory is str:
                    self._names = reply.names
                else:
                    self._plan(reply)
            if statement.returning:
                self._rowcount = len(reply.rows)
        elif reply is not None and statement.kind is Kind.WRITE:
            self._rowcount = reply.rows_affected
            if statement.inserts and (reply.rows_affected or reply.last_insert_id):
                self._lastrowid = reply.last_insert_id

    def _plan(self, rows: RowBuffer) -> None:
        self._names, convert = self._base._conversion(rows)
        self._convert = _chained(convert, make_maker(self._row_factory, self, self._names))

    def _many(self, sql: str, parameters: Iterable[Parameters]) -> Flow[None]:
        """Run an INSERT, UPDATE or DELETE once for each item and sum up `rowcount`."""
        self._require_open()
        statement = lookup(sql)
        if statement.kind is not Kind.WRITE or statement.returning:
            raise ProgrammingError("executemany() can only execute DML statements without rows.")
        self._forget()
        self._rowcount = yield from execute_many(self._base, statement, parameters)

    def _made(self, rows: list[Row]) -> list[Any]:
        convert = self._convert
        return rows if convert is None else [convert(row) for row in rows]

    def _distance(self, rows: RowBuffer, value: int, mode: str) -> int:
        """Rows to go on (or back) for `scroll`; `ProgrammingError` for another mode."""
        if mode not in ("relative", "absolute"):
            raise ProgrammingError(f"scroll mode {mode!r} is neither 'relative' nor 'absolute'")
        return value - rows.given if mode == "absolute" else value

    @staticmethod
    def _out_of_range(rows: RowBuffer, distance: int) -> Exception:
        target = rows.given + distance
        if 0 <= target < rows.given:
            return NotSupportedError(
                f"row {target} was given out and is no longer held",
                hint="only the rows of the part that is being fetched can be gone back to",
            )
        return IndexError(f"row {target} is outside of the result")


def _chained(first: Convert | None, then: Convert | None) -> Convert | None:
    if first is None or then is None:
        return first or then
    return lambda row: then(first(row))
