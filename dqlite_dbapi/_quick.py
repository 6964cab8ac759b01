"""The short way of the most common call: a plain SELECT whose answer comes in one piece."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dqlite_dbapi._results import Reply, RowBuffer
from dqlite_dbapi.errors import Error
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import State
from dqlite_dbapi.protocol.transaction import TransactionState
from dqlite_dbapi.sql import Statement
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, Request
from dqlite_dbapi.wire.requests import encode_sql
from dqlite_dbapi.wire.rows import decode_answer

if TYPE_CHECKING:
    from dqlite_dbapi._base import BaseConnection

_QUERY = int(Request.QUERY_SQL)
_new = tuple.__new__  # what Reply(...) does, at half the price
_READY, _BUSY, _LOST = State.READY, State.BUSY, TransactionState.LOST


def quick(base: BaseConnection, statement: Statement, params: Sequence[object]) -> Flow[Reply]:
    """As `BaseConnection._execute` for a `statement` that is simple.

    That takes over where the connection is not simply ready, and after an error.
    """
    session = base._session
    if (
        base._streaming is not None
        or session.state is not _READY
        or base._transaction.state is _LOST
        or base._trace is not None
        or len(params) > MAX_NARROW_PARAMS
    ):
        return (yield from base._execute(statement, params))
    started = time.monotonic()
    try:
        message = statement.request
        if params:
            message = encode_sql(_QUERY, statement.encoded, params, 0, base._adapters)
        session.state = _BUSY
        chunk = yield message
        answer = decode_answer(chunk)
        if answer is not None:
            session.state = _READY
            return _new(Reply, (RowBuffer(*answer), None))
        return (yield from base._received(statement, (yield from session.resume(chunk))))
    except Error as error:
        yield from base._recover(error, statement, False, False, base._attempts(started))
    return (yield from base._execute(statement, params))
