"""Statements that the server keeps compiled while many of their kind are sent.

A statement id that is not live kills members (hazard H32), so an id is used in the session that
gave it, and finalized there once.
"""

from __future__ import annotations

from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire import responses
from dqlite_dbapi.wire.constants import Request, Response
from dqlite_dbapi.wire.requests import encode_sql, frame
from dqlite_dbapi.wire.values import U32

_PREPARE, _FINALIZE = int(Request.PREPARE), int(Request.FINALIZE)


class Prepared:
    """Live statement ids of one session, by what they stand for."""

    def __init__(self) -> None:
        self._session: Session | None = None  # that the ids belong to
        self._heads: dict[bytes, bytes] = {}
        self._refused: set[bytes] = set()

    def begin(self, session: Session, *texts: bytes) -> Flow[None]:
        """Have the server compile `texts`, wire fields, unless it did; what it refuses is left.

        Raises errors of the connection only.
        """
        if self._session is not session:
            self._session = session
            self._heads.clear()
        asked = [text for text in texts if text not in self._heads and text not in self._refused]
        if not asked:
            return
        messages = b"".join(encode_sql(_PREPARE, text, ()) for text in asked)
        answers = yield from session.burst(messages, len(asked), Response.STMT)
        for text, answer in zip(asked, answers, strict=True):
            if answer.kind == Response.STMT:
                self._heads[text] = U32.pack(0) + U32.pack(responses.decode(answer).id)
            else:
                self._refused.add(text)

    def head(self, session: Session, text: bytes) -> bytes | None:
        """What EXEC has before its parameters if `text` is compiled in `session`, else None."""
        return self._heads.get(text) if self._session is session else None

    def end(self, session: Session) -> Flow[None]:
        """Give the statements back, if `session` is the one that has them; errors as `begin`."""
        held, self._heads = self._heads, {}
        if held and self._session is session and session.state is State.READY:
            messages = b"".join(frame(_FINALIZE, head) for head in held.values())
            yield from session.burst(messages, len(held), Response.EMPTY)
