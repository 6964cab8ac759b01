"""What both pools share besides the bookkeeping: attributes, and whether a connection is clean."""

from __future__ import annotations

import logging
import os
import warnings
import weakref
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import count
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from dqlite_dbapi._base import BaseConnection
from dqlite_dbapi._chance import draw
from dqlite_dbapi._pool import Ledger, Limits
from dqlite_dbapi.errors import Error, InterfaceError
from dqlite_dbapi.options import Options, parse
from dqlite_dbapi.protocol.transaction import TransactionState

C = TypeVar("C", bound=BaseConnection)
log = logging.getLogger("dqlite_dbapi.pool")
_numbers = count(1)
#: What a program may change on a connection and the pool can put back by itself.
_SETTINGS = (
    *("row_factory", "text_factory", "timeout", "_autocommit", "_begin", "_busy_timeout"),
    *("_implied", "_isolation_level", "_trace", "staleness"),
)
_settings = attrgetter(*_SETTINGS)


class Baseline(NamedTuple):
    """A connection as it was when it came into the pool."""

    settings: tuple[Any, ...]
    #: What cannot be put back: PRAGMAs, adapters and converters.
    lasting: tuple[Any, ...]


def baseline(connection: BaseConnection) -> Baseline:
    """Remember how `connection` is set up."""
    return Baseline(_settings(connection), tuple(dict(table) for table in _lasting(connection)))


def _lasting(connection: BaseConnection) -> tuple[dict[Any, Any], ...]:
    return connection._kept, connection._adapters._table, connection._converters._table


def restore(connection: BaseConnection, before: Baseline) -> bool:
    """Undo what a user has set; False if that is not possible, so that it must be closed."""
    if connection._closed or connection._is_altered or _lasting(connection) != before.lasting:
        return False
    if _settings(connection) != before.settings:
        for name, value in zip(_SETTINGS, before.settings, strict=True):
            if getattr(connection, name) != value:
                setattr(connection, name, value)
    connection._changes = 0
    return True


def is_quiet(connection: BaseConnection) -> bool:
    """True when no transaction, no half-read result and no call is open."""
    return (
        connection._transaction.state is TransactionState.IDLE
        and connection._streaming is None
        and not connection._session.is_unfinished
    )


def require_quiet(connection: BaseConnection, function: str) -> None:
    """Refuse a connection that the user's `configure` or `reset` has left in a transaction."""
    if not is_quiet(connection):
        raise InterfaceError(f"{function} has left a transaction or a result open")


def is_final(error: Exception) -> bool:
    """True for an error of opening a connection that another attempt would meet again."""
    return not (isinstance(error, Error) and (error.is_retryable or error.is_disconnect))


class Hooks(NamedTuple):
    """The user's functions that are called with a connection."""

    check: Callable[[Any], Any] | None
    configure: Callable[[Any], Any] | None
    reset: Callable[[Any], Any] | None


class BasePool(Generic[C]):
    """The settings of a pool and what it tells about itself without waiting."""

    def __init__(
        self,
        target: str | Iterable[str] | Options | None,
        database: str | None,
        settings: dict[str, Any],
    ) -> None:
        """`settings`: limits, hooks and `name`; the rest are options of connections."""
        self._hooks = Hooks(*(settings.pop(hook, None) for hook in Hooks._fields))
        self._name = settings.pop("name", None) or f"pool-{next(_numbers)}"
        limits = {
            key.name: settings.pop(key.name) for key in fields(Limits) if key.name in settings
        }
        self._options = parse(target, database, **settings)
        self._ledger: Ledger[C] = self._new_ledger(Limits.of(**limits))
        self._inherited: weakref.WeakSet[C] = weakref.WeakSet()
        _pools.add(self)

    def _new_ledger(self, limits: Limits) -> Ledger[C]:
        return Ledger(limits, draw, self._notifier())

    def _notifier(self) -> Callable[[], object]:
        """What a lost lease calls, from any thread and at any moment; it must not hold the pool."""
        raise NotImplementedError

    def _start_anew(self) -> None:
        """Be empty, as a forked child must; whatever is lent is not taken back."""
        before = self._ledger
        for connection in before.held():
            self._inherited.add(connection)
        self._ledger = self._new_ledger(before.limits)
        self._ledger.closed = before.closed

    def _abandon(self) -> None:
        """Close what can be closed without waiting."""
        raise NotImplementedError

    def __del__(self) -> None:
        ledger: Ledger[C] | None = getattr(self, "_ledger", None)
        if ledger is not None and not ledger.closed and ledger.size:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=2)
            self._abandon()

    @property
    def name(self) -> str:
        """The pool's name, for logs and metrics."""
        return self._name

    @property
    def min_size(self) -> int:
        """Connections that are held ready."""
        return self._ledger.limits.min_size

    @property
    def max_size(self) -> int:
        """Connections that there are at most."""
        return self._ledger.limits.max_size

    @property
    def timeout(self) -> float:
        """Seconds that a request waits for a connection unless it says otherwise."""
        return self._ledger.limits.timeout

    @property
    def closed(self) -> bool:
        """True before `open()` and after `close()`."""
        return self._ledger.closed

    def get_stats(self) -> dict[str, int]:
        """Sizes, and counters since the last `pop_stats`, under the names of psycopg_pool.

        Now: `pool_min`, `pool_max`, `pool_size`, `pool_available`, `requests_waiting`. Counters,
        `*_ms` in milliseconds: `usage_ms`, `requests_num`, `requests_queued`, `requests_wait_ms`,
        `requests_errors`, `returns_bad`, `connections_num`, `connections_ms`,
        `connections_errors`, `connections_lost`.
        """
        return self._ledger.stats()

    def pop_stats(self) -> dict[str, int]:
        """Same as `get_stats`, and the counters begin anew."""
        found = self._ledger.stats()
        self._ledger.counters = type(self._ledger.counters)()
        return found

    def __repr__(self) -> str:
        size = f"{self._ledger.size}/{self.max_size}"
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self._name!r} {state}, size {size}>"


_pools: weakref.WeakSet[BasePool[Any]] = weakref.WeakSet()


def _start_all_anew() -> None:
    for pool in list(_pools):
        pool._start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_anew)
