"""The wire side of a connection: a session at the leader, its settings, results still coming."""

from __future__ import annotations

import logging
import math
import re
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from dqlite_dbapi._chance import draw
from dqlite_dbapi._results import RowBuffer
from dqlite_dbapi.errors import ConnectionClosed, DataError, Error, Interrupted
from dqlite_dbapi.nodestore import shared_store
from dqlite_dbapi.options import Event, Options, split_address
from dqlite_dbapi.protocol.effects import Flow, Limit
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.protocol.guard import check_name
from dqlite_dbapi.protocol.leader import LeaderSearch
from dqlite_dbapi.protocol.poison import Watch
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.protocol.stores import Stores
from dqlite_dbapi.protocol.transaction import Transaction
from dqlite_dbapi.sql import Statement
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import encode_sql
from dqlite_dbapi.wire.values import encode_text

if TYPE_CHECKING:
    from dqlite_dbapi._copy import Snapshot

_log = logging.getLogger("dqlite_dbapi.connection")
_EXEC, _QUERY = int(Request.EXEC_SQL), int(Request.QUERY_SQL)
#: PRAGMAs that change a connection's state on the server and are repeated after a reconnect.
_KEPT_PRAGMAS = frozenset(
    {
        *("cache_size", "case_sensitive_like", "cell_size_check", "foreign_keys"),
        *("ignore_check_constraints", "query_only", "recursive_triggers"),
        *("reverse_unordered_selects", "trusted_schema", "writable_schema"),
    }
)
#: PRAGMAs that are given a value and leave nothing behind on the connection.
_TRACELESS_PRAGMAS = frozenset(
    {
        *("application_id", "schema_version", "user_version", "defer_foreign_keys"),
        *("busy_timeout", "foreign_key_check", "foreign_key_list", "index_info", "index_list"),
        *("index_xinfo", "integrity_check", "quick_check", "table_info", "table_list"),
        *("table_xinfo", "incremental_vacuum"),
    }
)
_TEMPORARY = re.compile(rb"\btemp(orary)?\b", re.IGNORECASE)
#: More than the 1,000 pages after which members checkpoint.
_REGROW = ("CREATE TABLE dqlite_pad AS SELECT zeroblob(4300000) AS a", "DROP TABLE dqlite_pad")
#: Parts of an unwanted result that are read before a connection is dropped instead: many where
#: the member would keep the request's read lock for ever (hazard H24).
_DISCARD_PARTS, _DISCARD_PARTS_UNCLEAN = 32, 8192
_LEAVING = 2.0  # seconds that close() reads on there


class ServerInfo(NamedTuple):
    """The member that a connection talks to: its address and its engine's capabilities."""

    address: str
    flavour: Flavour

    @property
    def host(self) -> str:
        """Host part of the address."""
        return self.address if self.address.startswith("@") else split_address(self.address)[0]

    @property
    def port(self) -> int | None:
        """Port of the address; None for an abstract socket."""
        return None if self.address.startswith("@") else split_address(self.address)[1]


class Link:
    """Keeps one session to the leader of a cluster and reads results from it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._store = shared_store(options.addresses, options.node_store)
        self._session = Session("", time.monotonic, options.timeout)
        self._transaction = Transaction()
        self._streaming: Callable[[], RowBuffer | None] | None = None  # a weak reference
        self._unsent: Callable[[], Flow[None]] | None = None  # sends rows that wait (`_bulk`)
        self._kept: dict[str, bytes] = {}
        self._watch = Watch() if options.guard == "strict" else None
        self._snapshot: Snapshot | None = None  # that answers stale reads
        self._timeout = options.timeout
        self.staleness = options.staleness  #: seconds, for `stale` reads; may be set at any time
        self._is_special = False  # whether calls need more than `_execute`
        self._closed = False
        self._is_altered = False  # holds state on the server that no other connection has

    @property
    def options(self) -> Options:
        """The options that the connection was made with."""
        return self._options

    @property
    def server(self) -> ServerInfo:
        """The leader that the connection was last connected to, and what its engine can do."""
        return ServerInfo(self._session.address, self._session.flavour)

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self._closed

    @property
    def is_usable(self) -> bool:
        """True while the connection is open and was not lost; a lost one reconnects when used."""
        return not self._closed and self._session.state in (State.READY, State.BUSY)

    @property
    def timeout(self) -> float:
        """Seconds that a call may take with all its retries; may be set at any time."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._timeout = self._session.patience = float(seconds)
        self._is_special = True

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionClosed("Cannot operate on a closed database.")

    # -- connecting

    def _connect(self, deadline: float) -> Flow[None]:
        before = self._session.address
        search = LeaderSearch(self._store, self._opening, time.monotonic, draw)
        self._session = yield from search.find(deadline, self._timeout)
        if self._watch is not None:
            self._watch.begin_session()
        self._check_name()
        address = self._session.address
        if not before:
            self._tell("connect", f"connected to {address}")
        elif before == address:
            self._tell("reconnect", f"connected again to {address}")
        else:
            self._tell("leader_change", f"the leader was {before} and is {address}")

    def _check_name(self) -> None:
        """Refuse a name that is the beginning of one that this process has opened (hazard H34)."""
        name = self._options.database
        if self._options.guard == "strict":
            try:
                check_name(name, self._store.databases, self._session.flavour)
            except Error:
                self._session.drop()
                raise
        self._store.databases |= {name}

    def _opening(self, session: Session) -> Flow[None]:
        lists = not self._store.is_fresh
        return session.open(self._options.database, tuple(self._kept.values()), lists=lists)

    def _keep(self, statement: Statement) -> None:
        """Remember a PRAGMA that a new session needs as well, and other state that was left."""
        pragma = statement.pragma
        if pragma is None:
            leaves = statement.attaches or _TEMPORARY.search(statement.encoded)
            self._is_altered |= bool(leaves)
        elif pragma.value is None or pragma.name in _TRACELESS_PRAGMAS:
            pass
        elif pragma.name in _KEPT_PRAGMAS:
            self._kept[pragma.name] = encode_sql(_EXEC, statement.encoded, ())
        else:
            self._is_altered = True

    def _learn_schema(self, watch: Watch, stores: Stores) -> Flow[None]:
        """Read the special columns of the database, to judge what `stores` would put into them."""
        catalogue = watch.catalogue(altered=self._is_altered)
        part = yield from self._session.query(encode_sql(_QUERY, catalogue.encoded, ()))
        buffer = RowBuffer(part.names, part.rows, part.more)
        yield from self._rest(buffer)
        watch.load(buffer.take_all(), stores)

    def _succeeded(self, statement: Statement) -> None:
        self._transaction.succeeded(statement)
        if self._watch is not None:
            self._watch.succeeded(statement)

    def _regrow(self) -> Flow[None]:
        """After VACUUM: write enough for a checkpoint, without which DUMP crashes (hazard H11)."""
        if self._session.flavour.returning == "free":
            for sql in _REGROW:
                yield from self._session.call(encode_sql(_EXEC, encode_text(sql), ()))

    def _forget_snapshot(self) -> None:
        held, self._snapshot = self._snapshot, None
        if held is not None:
            held.close()

    def _forget_schema(self) -> None:
        if self._watch is not None:
            self._watch.forget()

    def _tell(self, kind: str, detail: str) -> None:
        """Log what happened, and tell the program's listener; its errors stay its own."""
        _log.log(logging.DEBUG if kind == "connect" else logging.INFO, "%s: %s", kind, detail)
        listener = self._options.events
        if listener is not None:
            try:
                listener(Event(kind, self._session.address, detail))
            except Exception:
                _log.exception("the events option raised an error")

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
        buffer.extend(part.rows)
        buffer.more = part.more
        if not part.more:
            self._streaming = None

    def _drain(self) -> Flow[None]:
        """Let others use the wire: send what waits, take a half-read result into its buffer."""
        if self._unsent is not None:
            yield from self._unsent()
            return
        buffer = self._streaming() if self._streaming is not None else None
        if buffer is None:
            yield from self._discard()
            return
        try:
            yield from self._rest(buffer)
        except Error as error:
            buffer.error = error
            if isinstance(error, Interrupted):
                raise

    def _discard(self) -> Flow[None]:
        """Give up a half-read result: read a little more, else drop the connection.

        Inside a transaction the connection is worth keeping, so everything is read.
        """
        buffer = self._streaming() if self._streaming is not None else None
        if buffer is not None:
            buffer.more = False
        self._streaming = None
        session = self._session
        if self._transaction.is_open:
            yield from self._read_on(math.inf, math.inf)
            return
        most = _DISCARD_PARTS if session.flavour.clean_drop else _DISCARD_PARTS_UNCLEAN
        yield from self._read_on(most, self._timeout)
        if session.is_unfinished:
            session.drop()

    def _read_on(self, most: float, seconds: float) -> Flow[None]:
        """Take parts of a result that nobody wants, so many and for so long at most."""
        session = self._session
        parts, give_up = 0, time.monotonic() + seconds
        while session.is_unfinished and parts < most and time.monotonic() <= give_up:
            parts += 1
            try:
                yield from session.next_part()
            except DataError:
                continue
            except Error as error:
                if error.is_disconnect:
                    session.drop()
                    self._transaction.lost()

    @property
    def _is_half_read(self) -> bool:
        """True where closing the socket now would harm the member: see `_leave`."""
        session = self._session
        is_coming = self._streaming is not None and self._unsent is None
        return is_coming and session.state is State.BUSY and not session.flavour.clean_drop

    def _leave(self) -> Flow[None]:
        """Before closing: take what is still coming of a result, for a moment at most.

        A member of 1.18.7 keeps a connection that is closed between two parts, its memory and its
        read lock, until it crashes (hazard H24).
        """
        yield Limit(_LEAVING)
        yield from self._read_on(math.inf, _LEAVING)

    def _follow(self, buffer: RowBuffer) -> None:
        """Remember the result whose parts the server is sending."""
        self._streaming = weakref.ref(buffer)

    def _interrupted(self, *, anywhere: bool) -> bool:
        """Called when a flow was left by an exception; True when the socket must be closed.

        `anywhere`: it came between any two steps, such as Ctrl-C, so nothing is certain any more.
        """
        if self._session.is_unfinished or (anywhere and self._session.state is State.READY):
            self._session.drop()
            self._streaming = None
            self._transaction.lost()
        return self._session.state is not State.READY
