"""executemany in few round trips, so that nobody can tell it from a loop of execute.

Inside a transaction rows wait, encoded, until a flight of them is sent. A plain INSERT goes out as
statements of many rows (`protocol.batch`), anything else row by row, and in both cases several
statements are under way at once. The server compiles one that comes often only once.

A flight is a savepoint, the statements, and its release. While the server works on one, the rows of
the next are taken and encoded. If a statement fails, its flight is undone and repeated row by row,
which ends at the failing row and leaves those before it. Behind each statement comes a fence, a
BEGIN, which fails in a transaction. An error may make SQLite roll the transaction back by itself;
the fence then begins another, so that no later row is committed on its own.

Outside of a transaction each row stands for itself and is sent by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from dqlite_dbapi.errors import Error, from_failure
from dqlite_dbapi.protocol.batch import FACTS, Template, cut, find_template, is_plain
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.prepared import Prepared
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.transaction import TransactionState
from dqlite_dbapi.sql import Statement, bind
from dqlite_dbapi.wire._accel import encode_rows
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, Request, Response
from dqlite_dbapi.wire.frames import Frame
from dqlite_dbapi.wire.params import encode_row
from dqlite_dbapi.wire.requests import SQL_PREFIX, encode_many, encode_sql
from dqlite_dbapi.wire.responses import Failure, Result, decode_result, first_failure

if TYPE_CHECKING:
    from dqlite_dbapi._base import BaseConnection
    from dqlite_dbapi._results import Parameters

T = TypeVar("T")
_log = logging.getLogger("dqlite_dbapi.statements")
_EXEC, _QUERY, _RESULT = int(Request.EXEC_SQL), int(Request.QUERY_SQL), int(Response.RESULT)
_SAVE, _RELEASE, _UNDO, _ROLLBACK = (
    encode_sql(_EXEC, lookup(sql).encoded, ())
    for sql in (
        "SAVEPOINT dqlite_many",
        "RELEASE dqlite_many",
        "ROLLBACK TO dqlite_many",
        "ROLLBACK",
    )
)
#: Behind each statement of a flight: it fails, unless the transaction has ended by itself, when
#: what follows would else be committed at once.
_FENCE = lookup("BEGIN").encoded
_ENDED = Failure(4, "the transaction ended by itself")
#: Rows from which on it pays to ask the schema whether they may become one statement.
_WORTH_ASKING = 16
#: Statements of a flight from which on it pays to have them compiled by a request of its own.
_WORTH_PREPARING = 4
#: Bytes of values that a flight holds before it is sent; one row may be more.
_FLIGHT_BYTES = 1 << 20
#: Statements under way at once. Their answers must fit the socket's buffers.
_FLIGHT = 128
#: Statements of many rows in a flight: the next is encoded while the server works on one.
_UNITS = 32
#: Parameters of one statement where the engine takes more than 255, and rows in any case.
_WIDE_PARAMS, _MOST_ROWS = 1000, 500


def execute_many(
    base: BaseConnection, statement: Statement, items: Iterable[Parameters]
) -> Flow[int]:
    """Run `statement` once for each item; the sum of the rows that were changed.

    Items are taken when they are needed. Those before one that fails, or before an error of the
    iterator itself, have been carried out.
    """
    bulk = _Bulk(base, statement)
    try:
        try:
            # Between two items of a list or tuple no code of the program runs.
            is_span = type(items) is list or type(items) is tuple
            spans: Iterable[Any] = [items] if is_span else zip(iter(items))
            for span in spans:
                place = 0
                while (place := bulk.take(span, place)) < len(span):
                    yield from bulk.add(span[place])
                    place += 1
        except Exception:
            yield from bulk.flush()
            raise
        yield from bulk.flush()
    except Exception:
        with suppress(Error):
            yield from bulk.finish()
        raise
    finally:
        bulk.stand_down()
    yield from bulk.finish()
    return bulk.total


class _Bulk:
    """Rows of one statement that are waiting to be sent."""

    def __init__(self, base: BaseConnection, statement: Statement) -> None:
        self.total = 0
        self._base = base
        self._statement = statement
        self._rows: list[bytes] = []
        self._size = 0
        self._most = 0  # rows that wait at most
        self._serial = -1  # of the transaction that has written already
        self._is_free = False  # no value can be harmful (protocol.poison)
        self._error: Error | None = None
        self._slots = self._params = statement.slots  # of an item, and of a row
        self._unit = 1  # rows of one statement
        self._texts: dict[int, bytes] = {1: statement.encoded}
        self._template: Template | None = None
        self._flying: list[list[bytes]] = []  # whose answers have not been read
        self._launched = 0.0
        self._prepared = Prepared()
        self._order: tuple[int, ...] = ()
        if not statement.is_guarded:
            self._use(find_template(statement.text))
        self._is_plain: bool | None = None if self._template is not None else False

    def _use(self, template: Template | None) -> None:
        if template is None or (not template.is_ordered and template.params > MAX_NARROW_PARAMS):
            return
        self._template = template
        if not template.is_ordered:
            self._order, self._params = template.order, len(template.order)
            self._texts = {}

    def take(self, items: Sequence[Parameters], place: int) -> int:
        """Let rows wait with others while there is nothing else to do for them; the next place."""
        base, rows = self._base, self._rows
        if not rows or not self._is_free or base._unsent is None or base._adapters.covers_natives:
            return place
        room = _FLIGHT_BYTES - self._size
        place, size = encode_rows(items, place, self._slots, self._order, rows, self._most, room)
        self._size += size
        return place

    def add(self, item: Parameters) -> Flow[None]:
        """Take one item: send it, or let it wait."""
        statement, base = self._statement, self._base
        if self._error is not None:
            raise self._error
        if type(item) is tuple and len(item) == statement.slots:
            values: Sequence[object] = item
        else:
            values = bind(statement, item)
        transaction = base._transaction
        if (
            transaction.serial != self._serial
            or transaction.state is not TransactionState.OPEN
            or statement.is_guarded
        ):
            yield from self.flush()
            yield from self._single(values)
            return
        if not self._is_free and statement.stores is not None:
            yield from self._check(values)
        if self._order:
            values = [values[slot] for slot in self._order]
        row = encode_row(values, base._adapters)
        if not self._rows:
            yield from self._stand_up()
        self._rows.append(row)
        self._size += len(row)
        if len(self._rows) > self._most or self._size > _FLIGHT_BYTES:
            yield from self._send(self._rows[:-1], self._rows[-1:])

    def _single(self, values: Sequence[object]) -> Flow[None]:
        """Send one row as `execute` does, which begins the transaction and takes its lock."""
        base = self._base
        result = yield from base._perform(self._statement, values)
        if isinstance(result, Result):
            self.total += result.rows_affected
        if base._transaction.state is TransactionState.OPEN:
            self._serial = base._transaction.serial
            self._measure()

    def _measure(self) -> None:
        """How many rows a flight has."""
        is_wide = self._base._session.flavour.wide_params
        self._unit = 1
        if self._is_plain is not False:
            most = _WIDE_PARAMS if is_wide else MAX_NARROW_PARAMS
            self._unit = max(1, min(_MOST_ROWS, most // max(self._params, 1)))
        self._most = max(_FLIGHT, min(4 * _MOST_ROWS, self._unit * _UNITS))

    def _check(self, values: Sequence[object]) -> Flow[None]:
        """Refuse a value that would crash the members that read it."""
        base, stores = self._base, self._statement.stores
        watch = base._watch
        if watch is None or stores is None or watch.is_free(stores):
            self._is_free = True
        elif not watch.allows(stores, values, base._adapters):
            yield from self.flush()
            yield from base._learn_schema(watch, stores)
            watch.allows(stores, values, base._adapters)

    # -- while the iterator is asked for more

    def _stand_up(self) -> Flow[None]:
        """Have `flush` run before the iterator, which is the program's, uses the connection."""
        base = self._base
        if base._streaming is not None:
            yield from base._drain()
        base._streaming, base._unsent = _nothing, self.flush

    def stand_down(self) -> None:
        """Undo `_stand_up`."""
        base = self._base
        if base._unsent is not None:
            base._streaming = base._unsent = None

    def flush(self) -> Flow[None]:
        """Send all that waits, the last row alone (`changes()` tells of it); read all answers."""
        rows = self._rows
        if rows or self._flying:
            yield from self._send(rows, [])

    def _send(self, rows: list[bytes], held: list[bytes]) -> Flow[None]:
        """Send `rows`; `held` wait on, unless there is an error, and so do the last answers."""
        base = self._base
        self.stand_down()
        self._rows, self._size, self._is_free = [], 0, False
        try:
            yield from self._land()
            if self._is_plain is None and self._template and len(rows) >= _WORTH_ASKING:
                yield from self._ask(self._template.table)
            trace = base._trace
            if trace is not None:
                for _ in rows:
                    trace(self._statement.text)
            unit = self._unit if self._is_plain else 1
            for flight in cut(rows, unit, _FLIGHT, is_last_alone=not held):
                yield from self._land()
                yield from self._launch(flight)
            if not held:
                yield from self._land()
        except Error as error:
            self._error = error
            raise
        if held:
            yield from self._stand_up()
            self._rows, self._size = held, len(held[0])

    def _ask(self, table: str) -> Flow[None]:
        """Learn from the schema what no other connection can change while the transaction lasts."""
        base = self._base
        message = encode_sql(_QUERY, FACTS.encoded, (table,))
        try:
            part = yield from base._session.query(message)
            # The query asks for no temporary triggers: that alone would make a temp schema appear.
            self._is_plain = is_plain(part.rows[0]) and not base._is_altered
        except Error as error:
            if error.is_disconnect:
                yield from self._fail(error)
            self._is_plain = False
        stores = self._statement.stores
        if base._watch is not None and stores is not None and not base._watch.is_free(stores):
            yield from base._learn_schema(base._watch, stores)
        self._measure()

    # -- sending

    def finish(self) -> Flow[None]:
        """Give back what the server keeps for these rows."""
        yield from self._checked(self._prepared.end(self._base._session))

    def _launch(self, units: list[list[bytes]]) -> Flow[None]:
        """Send one flight; a row that is all of it waits for `_land`, which sends it alone."""
        base = self._base
        if base._is_special:
            yield from base._limit_transaction()
        if len(units) >= _WORTH_PREPARING:
            text = self._text(len(units[0]))
            yield from self._checked(self._prepared.begin(base._session, text, _FENCE))
        self._launched = time.monotonic()
        if sum(map(len, units)) > 1:
            messages, fence = [_SAVE], self._encode(_FENCE, [], 0)
            for unit in units:
                messages += [self._message(unit), fence]
            yield from self._checked(base._session.launch(b"".join(messages)))
        self._flying = units

    def _land(self) -> Flow[None]:
        """Count what the flight under way changed, if there is one."""
        units, self._flying = self._flying, []
        rows = sum(map(len, units))
        if not rows:
            return
        try:
            yield from self._one(units[0][0]) if rows == 1 else self._judge(units)
        finally:
            slow, seconds = self._base._options.slow_query, time.monotonic() - self._launched
            if slow is not None and seconds >= slow:
                text = self._statement.text
                _log.warning("slow statements, %.3f s for %d rows: %s", seconds, rows, text)

    def _judge(self, units: list[list[bytes]]) -> Flow[None]:
        """Read the answers to a flight; if one failed, undo it and go row by row."""
        base = self._base
        frames = yield from self._checked(base._session.land(1 + 2 * len(units)))
        results, fences = frames[1::2], frames[2::2]
        began = any(frame.kind == _RESULT for frame in fences)
        failure = first_failure(frames[0], *results)
        if failure is None and not began:
            failure = first_failure(*(yield from self._exchange([_RELEASE])))
            if failure is None:
                self._count(results)
                return
        reason = from_failure(*(failure or _ENDED), base._session.address)
        yield from self._undo(reason, began=began)
        for unit in units:
            for row in unit:
                yield from self._one(row)

    def _exchange(self, messages: list[bytes]) -> Flow[list[Frame]]:
        burst = self._base._session.burst(b"".join(messages), len(messages))
        return (yield from self._checked(burst))

    def _checked(self, flow: Flow[T]) -> Flow[T]:
        """Run what must not fail; an error is raised as after a statement."""
        try:
            return (yield from flow)
        except Error as error:
            yield from self._fail(error)
            raise

    def _undo(self, error: Error, *, began: bool) -> Flow[None]:
        """Take a flight back; raise `error` where more than the flight is gone."""
        base = self._base
        if began:  # by a fence, since the transaction had ended
            frames = yield from self._exchange([_ROLLBACK])
            if frames[0].kind != _RESULT:
                base._session.drop()
            base._transaction.ended()
            base._forget_schema()
            raise error
        if error.is_disconnect:
            yield from self._fail(error)
        frames = yield from self._exchange([_UNDO, _RELEASE])
        if any(frame.kind != _RESULT for frame in frames):
            base._session.drop()
            base._transaction.lost()
            raise error

    def _one(self, row: bytes) -> Flow[None]:
        message = self._message([row])
        attempts = self._base._attempts(time.monotonic())
        while True:
            try:
                frame = yield from self._base._session.call(message)
                self._count([frame])
                return
            except Error as error:
                yield from self._base._recover(error, self._statement, False, False, attempts)

    def _fail(self, error: Error) -> Flow[None]:
        """Raise `error` as after a statement inside a transaction."""
        base = self._base
        attempts = base._attempts(time.monotonic())
        yield from base._recover(error, self._statement, False, False, attempts)
        raise error

    def _message(self, unit: list[bytes]) -> bytes:
        return self._encode(self._text(len(unit)), unit, self._params)

    def _encode(self, text: bytes, rows: list[bytes], params: int) -> bytes:
        """The request that runs `text`, compiled or not, with `params` values from each row."""
        schema = int(len(rows) * params > MAX_NARROW_PARAMS)
        head = self._prepared.head(self._base._session, text)
        if head is not None:
            return encode_many(Request.EXEC, head, rows, params, schema)
        return encode_many(_EXEC, SQL_PREFIX + text, rows, params, schema)

    def _text(self, count: int) -> bytes:
        """The statement of `count` rows, as a wire field."""
        text = self._texts.get(count)
        if text is None and self._template is not None:
            text = self._texts[count] = self._template.text(count)
        return text or b""

    def _count(self, frames: Iterable[Frame]) -> None:
        changed = sum([decode_result(frame.body).rows_affected for frame in frames])
        self.total += changed
        self._base._changes += changed


def _nothing() -> None:
    """Stands for a result that is still coming, in the place of a weak reference to one."""
