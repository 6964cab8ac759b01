"""What sync and asyncio connections share: flows over a session, no socket and no await."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dqlite_dbapi._results import Reply, RowBuffer
from dqlite_dbapi.errors import (
    Busy,
    BusySnapshot,
    ConnectionClosed,
    DataError,
    Error,
    NotSupportedError,
    ProtocolViolation,
)
from dqlite_dbapi.nodestore import shared_store
from dqlite_dbapi.options import Options
from dqlite_dbapi.protocol.backoff import delays
from dqlite_dbapi.protocol.effects import Check, Flow, Sleep
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.protocol.guard import LocalAnswer, check
from dqlite_dbapi.protocol.leader import LeaderSearch
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.transaction import Transaction, TransactionState, outcome
from dqlite_dbapi.sql import Kind, Statement
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, Request, Response
from dqlite_dbapi.wire.requests import encode_sql
from dqlite_dbapi.wire.responses import decode_result

_EXEC, _QUERY, _RESULT = int(Request.EXEC_SQL), int(Request.QUERY_SQL), int(Response.RESULT)
_COMMIT, _ROLLBACK = lookup("COMMIT"), lookup("ROLLBACK")
_BEGIN_BY_MODE = {mode: lookup(f"BEGIN {mode}") for mode in ("deferred", "immediate", "exclusive")}
_PROBE = lookup("BEGIN")
_BEGINS = frozenset({Kind.WRITE, Kind.SCHEMA, Kind.SAVEPOINT})
#: PRAGMAs that change a connection's state on the server and are repeated after a reconnect.
_KEPT_PRAGMAS = frozenset(
    {
        *("cache_size", "case_sensitive_like", "cell_size_check", "foreign_keys"),
        *("ignore_check_constraints", "query_only", "recursive_triggers"),
        *("reverse_unordered_selects", "trusted_schema", "writable_schema"),
    }
)
#: Parts of an unwanted result that are read before a connection is dropped instead.
_DISCARD_PARTS = 32


class ServerInfo(NamedTuple):
    """The member that a connection talks to: its address and its engine's capabilities."""

    address: str
    flavour: Flavour


class Attempts:
    """How long one call may go on: `deadline` over all, and waits for another writer."""

    def __init__(self, timeout: float, busy_timeout: float) -> None:
        self._timeout = timeout
        self._busy_timeout = busy_timeout
        self._deadline: float | None = None
        self._pauses: Iterator[float] | None = None
        self._give_up = 0.0

    @property
    def deadline(self) -> float:
        """On the monotonic clock, counted from the first time that it matters."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._timeout
        return self._deadline

    def may_retry(self, error: Error) -> bool:
        """True when `error` says that nothing was applied and there is time left."""
        return error.is_retryable and time.monotonic() < self.deadline

    def busy_pause(self) -> float | None:
        """Seconds to wait for the other writer, None when the busy timeout is over."""
        now = time.monotonic()
        if self._pauses is None:
            self._pauses = delays(0.001, 0.05, random.random)
            self._give_up = now + self._busy_timeout
        return None if now >= self._give_up else min(next(self._pauses), self._give_up - now)


class BaseConnection:
    """State of one connection and the flows that its public methods run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._store = shared_store(options.addresses)
        self._session = Session(options.addresses[0], time.monotonic, options.timeout)
        self._transaction = Transaction()
        self._autocommit = options.autocommit
        self._busy_timeout = options.busy_timeout
        self._streaming: weakref.ref[RowBuffer] | None = None
        self._kept: dict[str, bytes] = {}
        self._closed = False
        if options.foreign_keys is not None:
            self._keep(lookup(f"PRAGMA foreign_keys = {options.foreign_keys:d}"))

    @property
    def in_transaction(self) -> bool:
        """True while the server holds a transaction of this connection."""
        return self._transaction.is_open

    @property
    def options(self) -> Options:
        """The options that the connection was made with."""
        return self._options

    @property
    def server(self) -> ServerInfo:
        """The leader that the connection was last connected to, and what its engine can do."""
        return ServerInfo(self._session.address, self._session.flavour)

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionClosed("Cannot operate on a closed database.")

    # -- connecting

    def _connect(self, deadline: float) -> Flow[None]:
        search = LeaderSearch(self._store, self._opening, time.monotonic, random.random)
        self._session = yield from search.find(deadline, self._options.timeout)

    def _opening(self, session: Session) -> Flow[None]:
        return session.open(self._options.database, tuple(self._kept.values()))

    def _keep(self, statement: Statement) -> None:
        """Remember a PRAGMA that a new session needs as well."""
        pragma = statement.pragma
        if pragma is not None and pragma.value is not None and pragma.name in _KEPT_PRAGMAS:
            self._kept[pragma.name] = encode_sql(_EXEC, statement.encoded, ())

    # -- statements

    def _execute(self, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
        """Run one statement: lazy BEGIN, guard, busy retry, failover where that is sound."""
        if self._streaming is not None:
            yield from self._drain()
        transaction = self._transaction
        if transaction.state is TransactionState.LOST:
            if statement.kind is Kind.ROLLBACK:
                transaction.ended()
                return Reply(None, None)
            transaction.require_usable()
        begins = (
            not self._autocommit
            and transaction.state is TransactionState.IDLE
            and statement.kind in _BEGINS
        )
        attempts = Attempts(self._options.timeout, self._busy_timeout)
        while True:
            if self._session.state is not State.READY:
                yield from self._connect(attempts.deadline)
            if statement.is_guarded and self._options.guard == "strict":
                local = self._answer(statement)
                if local is not None:
                    return local
                if self._needs_wrapping(statement, begins):
                    return (yield from self._wrapped(statement, params))
            commits = False
            try:
                if begins:
                    if not transaction.is_open:
                        yield from self._send(_BEGIN_BY_MODE[self._options.begin], ())
                elif not statement.is_read and transaction.commits(statement):
                    yield Check()
                    commits = True
                return (yield from self._send(statement, params))
            except Error as error:
                yield from self._recover(error, statement, begins, commits, attempts)

    def _send(self, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
        session = self._session
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
            message = encode_sql(_QUERY, statement.encoded, params, schema)
            names, rows, more = yield from session.query(message)
            buffer = RowBuffer(names, rows, more)
            if more:
                self._streaming = weakref.ref(buffer)
                if statement.returning:
                    yield from self._drain()
            return Reply(buffer, None)
        frame = yield from session.call(encode_sql(_EXEC, statement.encoded, params, schema))
        if frame.kind != _RESULT:
            raise ProtocolViolation(f"EXEC was answered by a message of type {frame.kind}")
        self._transaction.succeeded(statement)
        if statement.pragma is not None:
            self._keep(statement)
        return Reply(None, decode_result(frame.body))

    def _answer(self, statement: Statement) -> Reply | None:
        pragma = statement.pragma
        if pragma is not None and pragma.name == "busy_timeout":
            if pragma.value is not None and pragma.value.isdecimal():
                self._busy_timeout = int(pragma.value) / 1000
            local = LocalAnswer(("timeout",), [(round(self._busy_timeout * 1000),)])
        else:
            found = check(statement, self._session.flavour)
            if found is None:
                return None
            local = found
        return Reply(RowBuffer(local.names, local.rows, more=False), None)

    def _needs_wrapping(self, statement: Statement, begins: bool) -> bool:
        """RETURNING loses the write outside of a transaction on some engines (hazard H1)."""
        inside = begins or self._transaction.is_open
        return (
            statement.returning and not inside and self._session.flavour.returning == "transaction"
        )

    def _wrapped(self, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
        yield from self._execute(_BEGIN_BY_MODE["immediate"], ())
        try:
            reply = yield from self._execute(statement, params)
            yield from self._commit()
        except Error:
            yield from self._rollback()
            raise
        return reply

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
            yield from self._execute(_COMMIT, ())

    def _rollback(self) -> Flow[None]:
        """Roll back an open transaction; a broken connection has done so already."""
        if self._streaming is not None:
            yield from self._discard()
        session = self._session
        if self._transaction.is_open and session.state is State.READY:
            try:
                yield from session.call(encode_sql(_EXEC, _ROLLBACK.encoded, ()))
            except Error as error:
                if error.code != 1:  # 1: SQLite had rolled back by itself
                    session.drop()
        self._transaction.ended()

    # -- rows that are still coming

    def _rest(self, buffer: RowBuffer) -> Flow[None]:
        """Put all parts that are still to come behind the rows of `buffer`."""
        while buffer.more:
            yield from self._next_part(buffer)

    def _next_part(self, buffer: RowBuffer) -> Flow[None]:
        """Put the next part of a result behind the rows of `buffer`."""
        try:
            part = yield from self._session.next_part()
        except Error as error:
            buffer.more = False
            self._streaming = None
            if error.is_disconnect:
                self._session.drop()
                self._transaction.lost()
            elif self._session.is_unfinished:
                yield from self._discard()
            raise
        buffer.rows += part.rows
        buffer.more = part.more
        if not part.more:
            self._streaming = None

    def _drain(self) -> Flow[None]:
        """Take the rest of a half-read result into its buffer, so that others may use the wire."""
        buffer = self._streaming() if self._streaming is not None else None
        if buffer is None:
            yield from self._discard()
            return
        try:
            yield from self._rest(buffer)
        except Error as error:
            buffer.error = error

    def _discard(self) -> Flow[None]:
        """Give up a half-read result: read a little more, else drop the connection.

        Inside a transaction the connection is worth keeping, so everything is read.
        """
        buffer = self._streaming() if self._streaming is not None else None
        if buffer is not None:
            buffer.more = False
        self._streaming = None
        session = self._session
        parts = 0
        while session.is_unfinished:
            if parts >= _DISCARD_PARTS and not self._transaction.is_open:
                session.drop()
                return
            parts += 1
            try:
                yield from session.next_part()
            except DataError:
                continue
            except Error as error:
                if error.is_disconnect:
                    session.drop()
                    self._transaction.lost()

    def _interrupted(self) -> bool:
        """Called when a flow was left by an exception; True when the socket must be closed."""
        if self._session.is_unfinished:
            self._session.drop()
            self._streaming = None
            self._transaction.lost()
        return self._session.state is not State.READY
