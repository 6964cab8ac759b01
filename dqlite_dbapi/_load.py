"""Filling a cluster's database from a SQLite one, in batches that are applied exactly once.

Each batch is a transaction that also records, in the table `dqlite_load`, how far the load has
come. After a lost answer the next transaction reads there whether the batch was applied: it holds
the write lock, and the log of the cluster is ordered, so an older COMMIT cannot come later.
"""

# ruff: noqa: S608 - names cannot be parameters; they are quoted
from __future__ import annotations

import logging
import marshal
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from dqlite_dbapi._base import BaseConnection
from dqlite_dbapi._results import RowBuffer
from dqlite_dbapi._source import (
    STATE_TABLE,
    TOKEN_TABLE,
    Operation,
    RawText,
    Source,
    Table,
    literal,
    quoted,
)
from dqlite_dbapi.errors import DataError, Error, OperationalError, ProgrammingError
from dqlite_dbapi.options import Options, parse
from dqlite_dbapi.protocol.effects import Flow, Sleep
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS

_log = logging.getLogger("dqlite_dbapi.load")
_BEGIN = lookup("BEGIN IMMEDIATE")
_CREATE_STATE = (
    f"CREATE TABLE {STATE_TABLE} (id INTEGER PRIMARY KEY CHECK (id = 1),"
    " position INTEGER NOT NULL, digest TEXT NOT NULL)"
)
_OBJECTS = "SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_MOST_BYTES = 1 << 20
_PAUSE = 0.1
_SKIPPED = 10_000

Step = tuple[str, Sequence[Any]]


class Loaded(NamedTuple):
    """What a load has done: rows by table, whether it went on with an interrupted one.

    `violations`: rows that break foreign keys, None where that cannot be told.
    """

    tables: dict[str, int]
    resumed: bool
    violations: int | None

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.tables.values())


class Wishes(NamedTuple):
    """How to load: see `dqlite_dbapi.snapshot.restore`."""

    overwrite: bool = False
    batch: int = 1000
    check: bool = False
    deadline: float = 60.0
    progress: Callable[[int, int], object] | None = None


class Batch(NamedTuple):
    """Statements of one transaction, and where the load is after it."""

    steps: list[Step]
    position: int
    digest: str


def loading_options(options: Options) -> Options:
    """Options of the connection that a load makes for itself."""
    return parse(
        options,
        autocommit=True,
        foreign_keys=False,
        consistency="leader",
        transaction_timeout=None,
        slow_query=None,
        row_factory=None,
        detect_types=0,
    )


class Reader:
    """Cuts the operations of a source into batches, and keeps the digest of what was read."""

    def __init__(self, source: Source, rows: int) -> None:
        """`rows`: of one batch, at most."""
        self._source = source
        self._operations = source.operations()
        self._most_rows = rows
        self._hash = blake2b(digest_size=16)
        self._last = ""
        self.position = 0

    @property
    def digest(self) -> str:
        """Digest of all operations read so far."""
        return self._hash.hexdigest()

    def skip(self, count: int) -> int:
        """Read on without doing anything; returns how many operations there were."""
        done = 0
        while done < count and self._next() is not None:
            done += 1
        return done

    def batch(self) -> Batch | None:
        """The next batch, None at the end."""
        steps: list[Step] = []
        rows: list[Operation] = []
        count = size = 0
        while count < self._most_rows and size < _MOST_BYTES:
            operation = self._next()
            if operation is None:
                break
            count += 1
            if operation.values is not None and (not rows or rows[0].sql == operation.sql):
                rows.append(operation)
                size += _size(operation.values)
                continue
            steps += inserts(rows, self._source.has_raw_text)
            rows = [operation] if operation.values is not None else []
            if operation.values is None:
                steps.append((operation.sql, ()))
        steps += inserts(rows, self._source.has_raw_text)
        return Batch(steps, self.position, self.digest) if steps else None

    def _next(self) -> Operation | None:
        operation = next(self._operations, None)
        if operation is None:
            return None
        self.position += 1
        if operation.sql != self._last:
            self._last = operation.sql
            self._hash.update(operation.sql.encode("utf-8", "surrogatepass"))
        if operation.values is not None:
            self._hash.update(marshal.dumps(tuple(operation.values), 2))
        return operation


def _size(values: Sequence[Any]) -> int:
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in values)


def inserts(rows: Sequence[Operation], has_raw_text: bool) -> Iterator[Step]:
    """INSERT statements of several rows each, all of one table, that every engine takes.

    Rows that do not fit into parameters (hazard H16) are written into the text.
    """
    if not rows:
        return
    width = len(rows[0].values or ())
    together = MAX_NARROW_PARAMS // width
    if not together or (has_raw_text and any(map(_has_raw_text, rows))):
        for row in rows:
            yield f"{row.sql}({', '.join(map(literal, row.values or ()))})", ()
        return
    places = f"({', '.join('?' * width)})"
    for start in range(0, len(rows), together):
        part = rows[start : start + together]
        params = [value for row in part for value in row.values or ()]
        yield part[0].sql + ", ".join([places] * len(part)), params


def _has_raw_text(row: Operation) -> bool:
    return any(isinstance(value, RawText) for value in row.values or ())


class Loader:
    """The flows of one load over a connection that is used for nothing else."""

    def __init__(self, connection: BaseConnection, source: Source, wishes: Wishes) -> None:
        self._connection = connection
        self._source = source
        self._wishes = wishes
        self._position = 0
        self._rows = 0
        self._total = source.count() if wishes.progress is not None else 0

    def run(self) -> Flow[Loaded]:
        """Load everything, check it and remove the state."""
        reader, resumed = yield from self._start()
        while True:
            batch = reader.batch()
            if batch is None:
                break
            yield from self._apply(batch)
            self._tell()
        yield from self._verify()
        violations = yield from self._foreign_keys()
        yield from self._transaction(self._drop_state)
        tables = {table.name: table.rows for table in self._source.tables}
        return Loaded(tables, resumed, violations)

    # -- the beginning

    def _start(self) -> Flow[tuple[Reader, bool]]:
        """Begin anew, or where an interrupted load of the same source has stopped."""
        position, digest = yield from self._transaction(self._prepare)
        reader = Reader(self._source, self._wishes.batch)
        while reader.position < position:
            if not reader.skip(min(_SKIPPED, position - reader.position)):
                break
            yield Sleep(0)
        if reader.position == position and (digest == reader.digest or not position):
            self._position = position
            return reader, position > 0
        if not self._wishes.overwrite:
            raise ProgrammingError(
                "the target holds an interrupted load of another source",
                hint="restore the same source to go on, or give overwrite=True to begin anew",
            )
        yield from self._transaction(self._clear)
        self._position = 0
        return Reader(self._source, self._wishes.batch), False

    def _prepare(self) -> Flow[tuple[int, str]]:
        state = yield from self._state()
        if state is not None:
            return state
        objects = yield from self._query(_OBJECTS)
        if any(name != TOKEN_TABLE for name, _ in objects):
            if not self._wishes.overwrite:
                raise ProgrammingError(
                    f"the target is not empty: it holds {objects[0][1]} {objects[0][0]}",
                    hint="give overwrite=True to remove everything in it first",
                )
            yield from self._clear()
        else:
            yield from self._create_state()
        return 0, ""

    def _clear(self) -> Flow[None]:
        """Drop all tables and views, the state of another load too, and begin a state."""
        found = yield from self._query(
            "SELECT name, type FROM pragma_table_list WHERE schema = 'main'"
            " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        for wanted, word in (("view", "VIEW"), ("virtual", "TABLE"), ("table", "TABLE")):
            for name, kind in found:
                if kind == wanted and name != TOKEN_TABLE:
                    yield from self._do(f"DROP {word} {quoted(name)}")
        yield from self._create_state()

    def _create_state(self) -> Flow[None]:
        yield from self._do(_CREATE_STATE)
        yield from self._do(f"INSERT INTO {STATE_TABLE} VALUES (1, 0, '')")

    # -- batches

    def _apply(self, batch: Batch) -> Flow[None]:
        def job() -> Flow[None]:
            state = yield from self._state()
            found = None if state is None else state[0]
            if found == batch.position:
                return
            if found != self._position:
                raise OperationalError(
                    "another load is writing to the same database",
                    hint="let one of them end, then begin anew with overwrite=True",
                )
            for sql, params in batch.steps:
                yield from self._do(sql, params)
            place = (batch.position, batch.digest)
            yield from self._do(f"UPDATE {STATE_TABLE} SET position = ?, digest = ?", place)

        yield from self._transaction(job)
        self._position = batch.position

    def _transaction(self, job: Callable[[], Flow[Any]]) -> Flow[Any]:
        """Run `job` in a write transaction, again and again until it is certainly committed.

        A `job` looks first what is done already, so it may be run again after an unknown outcome.
        """
        connection = self._connection
        give_up = time.monotonic() + self._wishes.deadline
        while True:
            try:
                yield from connection._execute(_BEGIN, ())
                value = yield from job()
                yield from connection._commit()
                return value
            except Error as error:
                yield from connection._rollback()
                if not (error.is_retryable or error.is_ambiguous) or time.monotonic() >= give_up:
                    raise
                _log.info("a batch is tried again after: %s", error)
            yield Sleep(_PAUSE)

    def _tell(self) -> None:
        if self._wishes.progress is not None:
            done = sum(table.rows for table in self._source.tables)
            self._wishes.progress(done, self._total)

    # -- the end

    def _verify(self) -> Flow[None]:
        """Compare the number of rows of each table, and on request all values."""
        for table in self._source.tables:
            if table.name == TOKEN_TABLE:
                continue
            rows = yield from self._query(f"SELECT count(*) FROM {quoted(table.name)}")
            if rows[0][0] != table.rows:
                yield from self._fail(f"{rows[0][0]} rows instead of {table.rows}", table)
            if self._wishes.check and (yield from self._checksum(table)) != self._expected(table):
                yield from self._fail("other values than the source", table)

    def _fail(self, problem: str, table: Table) -> Flow[None]:
        yield from self._transaction(lambda: self._do(f"UPDATE {STATE_TABLE} SET digest = ''"))
        raise DataError(
            f"table {table.name} has {problem}",
            hint="did others write to the database meanwhile? Load again with overwrite=True",
        )

    def _checksum(self, table: Table) -> Flow[str]:
        """Digest of a table's rows in the target, which are held a part at a time."""
        total = blake2b()
        reply = yield from self._connection._execute(lookup(table.compare), ())
        while isinstance(reply, RowBuffer):
            for row in reply.take_all():
                total.update(marshal.dumps(tuple(row), 2))
            if not reply.more:
                break
            yield from self._connection._next_part(reply)
        return total.hexdigest()

    def _expected(self, table: Table) -> str:
        total = blake2b()
        for row in self._source.iterate(table.compare):
            total.update(marshal.dumps(tuple(row), 2))
        return total.hexdigest()

    def _foreign_keys(self) -> Flow[int | None]:
        try:
            found = yield from self._query("PRAGMA foreign_key_check")
        except OperationalError as error:
            if error.is_disconnect:
                raise
            _log.warning("foreign keys cannot be checked: %s", error)
            return None
        if found:
            _log.warning("%d rows break foreign keys, as in the source", len(found))
        return len(found)

    def _drop_state(self) -> Flow[None]:
        if (yield from self._state()) is not None:
            yield from self._do(f"DROP TABLE {STATE_TABLE}")

    def _state(self) -> Flow[tuple[int, str] | None]:
        named = f"SELECT 1 FROM sqlite_master WHERE name = '{STATE_TABLE}'"
        if not (yield from self._query(named)):
            return None
        rows = yield from self._query(f"SELECT position, digest FROM {STATE_TABLE}")
        return (rows[0][0], rows[0][1]) if rows else None

    def _do(self, sql: str, params: Sequence[Any] = ()) -> Flow[None]:
        yield from self._connection._execute(lookup(sql), params)

    def _query(self, sql: str) -> Flow[list[Any]]:
        reply = yield from self._connection._execute(lookup(sql), ())
        if not isinstance(reply, RowBuffer):
            return []
        yield from self._connection._rest(reply)
        return reply.take_all()
