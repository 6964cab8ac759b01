"""The short way of the most common call: a plain SELECT whose answer comes in one piece.

No flow is made for it. A connection asks for the `request` and has its runner exchange that for the
first chunk of the answer; if that decodes as a whole result, the session is READY again. Whatever
else happens is for `longer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dqlite_dbapi._results import Reply
from dqlite_dbapi.errors import Error
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import State
from dqlite_dbapi.protocol.transaction import TransactionState
from dqlite_dbapi.sql import Statement
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, Request
from dqlite_dbapi.wire.requests import encode_sql

if TYPE_CHECKING:
    from dqlite_dbapi._base import BaseConnection

_QUERY = int(Request.QUERY_SQL)
_READY, _BUSY, _LOST = State.READY, State.BUSY, TransactionState.LOST


def request(base: BaseConnection, statement: Statement, params: Sequence[object]) -> bytes | None:
    """The message that runs a simple `statement`; the session is BUSY from here on.

    None where the connection is not simply ready, and the statement has to go the long way.
    """
    session = base._session
    if (
        base._streaming is not None
        or session.state is not _READY
        or base._transaction.state is _LOST
        or base._trace is not None
        or (statement.is_wide and not session.is_grown)
    ):
        return None
    message = statement.request
    if params:
        if len(params) > MAX_NARROW_PARAMS:
            return None
        message = encode_sql(_QUERY, statement.encoded, params, 0, base._adapters)
    session.state = _BUSY
    return message


def longer(
    base: BaseConnection,
    statement: Statement,
    params: Sequence[object],
    came: bytes | Error,
    started: float,
) -> Flow[Reply]:
    """Go on where the short way ended: with the chunk that `came`, or an error instead."""
    try:
        if isinstance(came, Error):
            raise came
        return (yield from base._received(statement, (yield from base._session.resume(came))))
    except Error as error:
        yield from base._recover(error, statement, False, False, base._attempts(started))
    return (yield from base._execute(statement, params))
