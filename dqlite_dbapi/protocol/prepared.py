"""One statement that the server keeps compiled while many of its kind are sent.

A statement id that is not live kills members (hazard H32), so an id is used in the session that
gave it, and finalized there once.
"""

from __future__ import annotations

from dqlite_dbapi.errors import Error
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire import responses
from dqlite_dbapi.wire.constants import Request, Response
from dqlite_dbapi.wire.requests import encode, encode_sql
from dqlite_dbapi.wire.values import U32

_PREPARE = int(Request.PREPARE)


class Prepared:
    """At most one live statement id, and for what it stands."""

    def __init__(self) -> None:
        self._session: Session | None = None  # that the id belongs to
        self._id = 0
        self._text = b""
        self._is_refused = False

    def begin(self, session: Session, text: bytes) -> Flow[None]:
        """Have the server compile `text`, a wire field, unless it did; what it refuses is left.

        Raises errors of the connection only.
        """
        if self._is_refused or (self._session is session and self._text == text):
            return
        yield from self.end(session)
        try:
            message = encode_sql(_PREPARE, text, ())
            answer = responses.decode((yield from session.call(message, Response.STMT)))
        except Error as error:
            if error.is_disconnect:
                raise
            self._is_refused = True
            return
        self._session, self._id, self._text = session, answer.id, text

    def head(self, session: Session, text: bytes) -> bytes | None:
        """What EXEC has before its parameters if `text` is compiled in `session`, else None."""
        if self._session is not session or self._text != text:
            return None
        return U32.pack(0) + U32.pack(self._id)

    def end(self, session: Session) -> Flow[None]:
        """Give the statement back, if `session` is the one that has it; errors as `begin`."""
        held, self._session = self._session, None
        if held is session and session.state is State.READY:
            yield from session.call(encode(Request.FINALIZE, 0, self._id), Response.EMPTY)
