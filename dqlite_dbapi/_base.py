"""What sync and asyncio connections share: flows over a session, no socket and no await."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from dqlite_dbapi._chance import draw
from dqlite_dbapi._link import Link
from dqlite_dbapi._results import Convert, Reply, RowBuffer
from dqlite_dbapi.errors import (
    Busy,
    BusySnapshot,
    Error,
    ErrorAttributes,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    Timeout,
)
from dqlite_dbapi.options import CONSISTENCIES, LEGACY_TRANSACTION_CONTROL, Options
from dqlite_dbapi.protocol.backoff import Attempts
from dqlite_dbapi.protocol.effects import Check, Flow, Limit, Sleep
from dqlite_dbapi.protocol.guard import LocalAnswer, check, needs_transaction
from dqlite_dbapi.protocol.session import RowPart, State
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.transaction import TransactionState, implied_by, outcome
from dqlite_dbapi.sql import Kind, Statement, split
from dqlite_dbapi.types import Adapter, Adapters, Converter, Converters
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, Request
from dqlite_dbapi.wire.requests import encode_sql
from dqlite_dbapi.wire.responses import decode_result

_log = logging.getLogger("dqlite_dbapi.statements")
_EXEC, _QUERY = int(Request.EXEC_SQL), int(Request.QUERY_SQL)
_COMMIT, _ROLLBACK = lookup("COMMIT"), lookup("ROLLBACK")
_BEGIN_BY_MODE = {mode: lookup(f"BEGIN {mode}") for mode in ("deferred", "immediate", "exclusive")}
_PROBE = lookup("BEGIN")
_READ_COOKIE = lookup("PRAGMA user_version")


class BaseConnection(ErrorAttributes, Link):
    """State of one connection and the flows that its public methods run."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.row_factory: Callable[..., Any] | None = options.row_factory
        self.text_factory: Callable[[bytes], Any] | type[str] = str
        self._adapters = Adapters()
        self._converters = Converters()
        self._detects = options.detect_types
        self._autocommit = options.autocommit
        self._implied = implied_by(options.autocommit, options.isolation_level)
        self._begin = options.begin
        level = "" if options.begin == "deferred" else options.begin.upper()
        self._isolation_level = options.isolation_level or level
        self._busy_timeout = options.busy_timeout
        self._changes = 0
        self._trace: Callable[[str], object] | None = None
        self._is_special = (
            options.slow_query is not None
            or options.transaction_timeout is not None
            or options.consistency != "leader"
        )
        if options.foreign_keys is not None:
            self._keep(lookup(f"PRAGMA foreign_keys = {options.foreign_keys:d}"))

    @property
    def in_transaction(self) -> bool:
        """True while the server holds a transaction of this connection."""
        return self._transaction.is_open

    @property
    def total_changes(self) -> int:
        """Rows that INSERT, UPDATE and DELETE changed on this connection since it was made."""
        return self._changes

    def set_trace_callback(self, callback: Callable[[str], object] | None, /) -> None:
        """Have `callback` called with each statement that is sent (as `sqlite3`)."""
        self._trace = callback

    def _apply_autocommit(self, mode: bool | int) -> None:
        self._autocommit = mode
        self._implied = implied_by(mode, "")

    def _apply_isolation_level(self, level: str | None) -> None:
        if self._autocommit != LEGACY_TRANSACTION_CONTROL:
            self._autocommit = level is None
        self._implied = implied_by(self._autocommit, level)
        if level is not None:
            self._isolation_level = level
            self._begin = level.lower() or "deferred"

    def register_adapter(self, kind: type, adapter: Adapter, /) -> None:
        """Have parameters of type `kind` become what `adapter(parameter)` returns, here only."""
        self._adapters.register(kind, adapter)

    def register_converter(self, name: str, converter: Converter, /) -> None:
        """Have values for `name` become `converter(value as bytes)`, here only (`detect_types`)."""
        self._converters.register(name, converter)

    def _conversion(self, rows: RowBuffer) -> tuple[tuple[str, ...], Convert | None]:
        """Column names as shown, and what `detect_types` and `text_factory` do to each row."""
        plan = self._converters.plan(rows.names, rows.codes, self._detects, self.text_factory)
        return plan.names, plan.convert

    # -- statements

    def _perform(
        self, statement: Statement, params: Sequence[object], consistency: str | None = None
    ) -> Flow[Reply]:
        """Run one statement of the user's; `consistency` is None for the connection's own."""
        if consistency is None and not self._is_special:
            return self._execute(statement, params)
        if consistency not in (None, *CONSISTENCIES):
            raise ProgrammingError(f"consistency {consistency!r} is none of {CONSISTENCIES}")
        return self._special(statement, params, consistency or self._options.consistency)

    def _special(
        self, statement: Statement, params: Sequence[object], consistency: str
    ) -> Flow[Reply]:
        """As `_execute`, with what few connections ask for: deadlines, quorum reads."""
        start = time.monotonic()
        try:
            if consistency == "linearizable" and statement.is_read and not self.in_transaction:
                return (yield from self._confirmed(statement, params))
            yield from self._limit_transaction()
            return (yield from self._execute(statement, params))
        finally:
            slow = self._options.slow_query
            seconds = time.monotonic() - start
            if slow is not None and seconds >= slow:
                _log.warning("slow statement, %.3f s: %s", seconds, statement.text)

    def _limit_transaction(self) -> Flow[None]:
        """Let the next exchange end with the transaction's deadline, or drop what is late."""
        seconds = self._options.transaction_timeout
        if seconds is None:
            yield Limit(self._timeout)
            return
        now = time.monotonic()
        if not self._transaction.is_open:
            yield Limit(self._timeout)
            self._transaction.deadline = now + seconds
            return
        left = (self._transaction.deadline or now) - now
        if left <= 0:
            self._session.drop()
            self._transaction.lost()
            raise Timeout(
                f"the transaction took longer than {seconds:g} s and was rolled back",
                address=self._session.address,
            )
        yield Limit(min(left, self._timeout))

    def _confirmed(self, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
        """Read in a write transaction, whose commit a quorum confirms (linearizable).

        The write stores `user_version` again as it is. Until it is committed nobody else can have
        written, so the rows are the newest at that moment. They are all held in memory.
        """
        attempts = self._attempts(time.monotonic())
        while True:
            try:
                yield from self._execute(_BEGIN_BY_MODE["immediate"], ())
                yield from self._execute(lookup((yield from self._same_cookie())), ())
                reply = yield from self._execute(statement, params)
                if isinstance(reply, RowBuffer):
                    yield from self._rest(reply)
                yield from self._commit()
                return reply
            except Error as error:
                yield from self._rollback()
                if not (error.is_retryable or error.is_ambiguous):
                    raise
                if time.monotonic() >= attempts.deadline:
                    reason = f"no majority confirmed the read in time: {error.message}"
                    raise Timeout(reason, address=error.address) from error
                self._tell("retry", f"a linearizable read is repeated after: {error}")
                yield Sleep(0.05)

    def _same_cookie(self) -> Flow[str]:
        rows = yield from self._execute(_READ_COOKIE, ())
        cookie = rows.take(1)[0][0] if isinstance(rows, RowBuffer) else 0
        return f"PRAGMA user_version = {cookie}"

    def _execute(
        self, statement: Statement, params: Sequence[object], *, implicit: bool = True
    ) -> Flow[Reply]:
        """Run one statement: lazy BEGIN (if `implicit`), guard, busy retry, sound failover."""
        started = time.monotonic()
        if self._streaming is not None:
            yield from self._drain()
        transaction = self._transaction
        if transaction.state is TransactionState.LOST:
            if statement.kind is Kind.ROLLBACK:
                transaction.ended()
                return None
            transaction.require_usable()
        begins = (
            implicit
            and transaction.state is TransactionState.IDLE
            and statement.kind in self._implied
        )
        attempts: Attempts | None = None
        while True:
            if self._session.state is not State.READY:
                yield from self._connect(started + self._timeout)
            if statement.is_guarded and self._options.guard == "strict":
                local = self._answer(statement)
                if local is not None:
                    return local
                is_alone = not (begins or transaction.is_open)
                if is_alone and needs_transaction(statement, self._session.flavour):
                    return (yield from self._wrapped(statement, params))
            commits = False
            try:
                watch, stores = self._watch, statement.stores
                if watch and stores and not watch.allows(stores, params, self._adapters):
                    yield from self._learn_schema(watch, stores)
                    watch.allows(stores, params, self._adapters)
                if begins:
                    if not transaction.is_open:
                        yield from self._send(_BEGIN_BY_MODE[self._begin], ())
                elif not statement.is_read and transaction.commits(statement):
                    yield Check()
                    commits = True
                if not statement.is_read:
                    transaction.sending(statement)
                return (yield from self._send(statement, params))
            except Error as error:
                attempts = attempts or self._attempts(started)
                yield from self._recover(error, statement, begins, commits, attempts)

    def _attempts(self, started: float) -> Attempts:
        deadline = started + self._timeout
        return Attempts(deadline, self._busy_timeout, time.monotonic, draw)

    def _send(self, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
        session = self._session
        if self._trace is not None:
            self._trace(statement.text)
        schema = 0
        if len(params) > MAX_NARROW_PARAMS:
            if not session.flavour.wide_params:
                raise NotSupportedError(
                    f"{len(params)} parameters, and this member's engine takes 255 at most",
                    address=session.address,
                    hint="split the statement, or upgrade libdqlite to 1.18.6 or newer",
                )
            schema = 1
        if statement.returns_rows:
            message = encode_sql(_QUERY, statement.encoded, params, schema, self._adapters)
            part = yield from session.query(message, is_wide=statement.is_wide)
            return (yield from self._received(statement, part))
        message = encode_sql(_EXEC, statement.encoded, params, schema, self._adapters)
        frame = yield from session.call(message)
        self._succeeded(statement)
        if statement.is_guarded or statement.kind is Kind.SCHEMA:
            self._keep(statement)
        result = decode_result(frame.body)
        if statement.kind is Kind.WRITE:
            self._changes += result.rows_affected
        elif statement.kind is Kind.VACUUM:
            yield from self._regrow()
        return result

    def _received(self, statement: Statement, part: RowPart) -> Flow[RowBuffer]:
        """Make a reply of the first part of a result."""
        buffer = RowBuffer(part.names, part.rows, part.more, part.head)
        if part.more:
            self._follow(buffer)
            if self._transaction.is_open and not self._session.flavour.clean_drop:
                yield from self._rest(buffer)  # dropped half-way, it would stay locked (H24)
        if statement.returning:
            yield from self._rest(buffer)
            self._changes += len(buffer.rows)
        elif statement.is_guarded:
            self._keep(statement)
        return buffer

    def _answer(self, statement: Statement) -> RowBuffer | None:
        pragma = statement.pragma
        if pragma is not None and pragma.name == "busy_timeout":
            if pragma.value is not None and pragma.value.isdecimal():
                self._busy_timeout = int(pragma.value) / 1000
            local = LocalAnswer(("timeout",), [(round(self._busy_timeout * 1000),)])
        else:
            found = check(statement, self._session.flavour, vacuum=self._options.vacuum)
            if found is None:
                return None
            local = found
        return RowBuffer(local.names, local.rows, more=False)

    def _wrapped(self, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
        yield from self._execute(_BEGIN_BY_MODE["immediate"], ())
        try:
            reply = yield from self._execute(statement, params)
            yield from self._commit()
        except Error as error:
            if statement.fails_halfway and isinstance(error, IntegrityError):
                yield from self._commit()  # SQLite keeps the rows before the error (H23)
            yield from self._rollback()
            raise
        return reply

    def _script(self, sql: str) -> Flow[None]:
        """Commit, then run each statement of `sql` as it stands, without implicit BEGIN."""
        yield from self._commit()
        for text in split(sql):
            reply = yield from self._execute(lookup(text), (), implicit=False)
            if isinstance(reply, RowBuffer) and reply.more:
                yield from self._discard()

    # -- after an error

    def _recover(
        self, error: Error, statement: Statement, begins: bool, commits: bool, attempts: Attempts
    ) -> Flow[None]:
        """Return if the statement may be sent again, else raise what the caller should see.

        `commits`: a request that makes work durable was sent.
        """
        transaction = self._transaction
        if isinstance(error, Busy):
            yield from self._wait_for_writer(error, begins, attempts)
            return
        raised = outcome(error, commits=commits)
        if raised.is_disconnect:
            self._session.drop()
            was_open = transaction.is_open and not begins
            if was_open and not transaction.commits(statement):
                transaction.lost()
                raise raised
            transaction.ended()
            if was_open or not attempts.may_retry(raised):
                raise raised
            self._tell("retry", f"a statement is repeated after: {raised}")
            return
        if self._session.is_unfinished:
            yield from self._discard()
        if transaction.may_be_gone(error):
            yield from self._probe_transaction()
        raise raised

    def _wait_for_writer(self, error: Busy, begins: bool, attempts: Attempts) -> Flow[None]:
        """A stale snapshot is final unless nothing else happened in this transaction."""
        if isinstance(error, BusySnapshot) and self._transaction.is_open:
            if not begins:
                raise error
            yield from self._rollback()
        pause = attempts.busy_pause()
        if pause is None:
            raise error
        yield Sleep(pause)

    def _probe_transaction(self) -> Flow[None]:
        """BEGIN fails inside a transaction and succeeds only where SQLite has ended it."""
        session = self._session
        try:
            yield from session.call(encode_sql(_EXEC, _PROBE.encoded, ()))
            self._transaction.ended()
            yield from session.call(encode_sql(_EXEC, _ROLLBACK.encoded, ()))
        except Error as error:
            if error.is_disconnect:
                session.drop()
                self._transaction.lost()

    # -- ending transactions

    def _commit(self) -> Flow[None]:
        """Commit an open transaction; nothing is sent without one."""
        if self._transaction.state is not TransactionState.IDLE:
            yield from self._perform(_COMMIT, ())

    def _rollback(self) -> Flow[None]:
        """Roll back an open transaction; a broken connection has done so already."""
        if self._unsent is not None:
            yield from self._drain()
        if self._streaming is not None:
            yield from self._discard()
        session = self._session
        if self._transaction.is_open and session.state is State.READY:
            try:
                yield from session.call(encode_sql(_EXEC, _ROLLBACK.encoded, ()))
            except Error as error:
                if error.code != 1:  # 1: SQLite had rolled back by itself
                    session.drop()
        self._forget_schema()
        self._transaction.ended()
