"""Bookkeeping of a connection pool as pure objects: no thread, no clock, no IO.

Times are seconds of any steady clock and are passed in.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from dqlite_dbapi.errors import InterfaceError, PoolClosed, PoolTimeout
from dqlite_dbapi.protocol.backoff import delays

C = TypeVar("C")
_FIRST_PAUSE, _LONGEST_PAUSE, _OFTEN = 0.1, 10.0, 0.1  # seconds
#: Part of the lifetime by which connections differ, so that they are not all replaced at once.
_JITTER = 0.1


@dataclass(frozen=True)
class Limits:
    """How big a pool gets and how long things may take; times in seconds."""

    min_size: int = 4
    max_size: int = 4
    timeout: float = 30.0
    max_waiting: int = 0
    max_lifetime: float = 3600.0
    max_idle: float = 600.0
    reconnect_timeout: float = 300.0

    @classmethod
    def of(cls, min_size: int = 4, max_size: int | None = None, **others: Any) -> Limits:
        """Limits with psycopg_pool's defaults; a pool does not grow unless `max_size` is given."""
        return cls(min_size, min_size if max_size is None else max_size, **others)

    def __post_init__(self) -> None:
        """`InterfaceError` for a value that makes no sense."""
        if not 0 <= self.min_size <= self.max_size or self.max_size < 1:
            raise InterfaceError(
                f"a pool cannot have {self.min_size} to {self.max_size} connections",
                hint="0 <= min_size <= max_size, and max_size is at least 1",
            )
        for item in fields(self):
            if getattr(self, item.name) < 0:
                raise InterfaceError(f"{item.name} of a pool is below 0")


@dataclass(slots=True)
class Counters:
    """What happened since the last `pop_stats`, under the names that psycopg_pool gives it."""

    usage_ms: float = 0.0
    requests_num: int = 0
    requests_queued: int = 0
    requests_wait_ms: float = 0.0
    requests_errors: int = 0
    returns_bad: int = 0
    connections_num: int = 0
    connections_ms: float = 0.0
    connections_errors: int = 0
    connections_lost: int = 0

    def rounded(self) -> dict[str, int]:
        """All counters as whole numbers."""
        return {item.name: round(getattr(self, item.name)) for item in fields(self)}


@dataclass(slots=True, eq=False)
class Entry:
    """A connection of the pool. It is held weakly, so that a lease which is forgotten is noticed.

    `since`: when it was lent or became idle; `baseline`: what it looked like when it was new.
    """

    reference: weakref.ref[Any]
    since: float
    expires: float
    baseline: Any


@dataclass(slots=True, eq=False)
class Waiter(Generic[C]):
    """One who waits; `wake` is called once, when `connection` or `error` has been set."""

    wake: Callable[[], object]
    since: float
    connection: C | None = None
    error: Exception | None = None


class Ledger(Generic[C]):
    """Knows which connections are idle and which are lent, who waits, and what is to be done.

    Whoever shares it between threads holds a lock around each call.
    """

    def __init__(
        self, limits: Limits, random: Callable[[], float], notify: Callable[[], object]
    ) -> None:
        """`notify` is called, from anywhere, when a lent connection was dropped by its user."""
        self.limits = limits
        self.closed = True
        self.counters = Counters()
        self.on_full: list[Callable[[], object]] = []  #: called when `is_full` may have changed
        self._random = random
        self._notify = notify
        self._idle: deque[tuple[C, Entry]] = deque()
        self._leased: dict[int, Entry] = {}
        self._waiting: deque[Waiter[C]] = deque()
        self._opening = 0
        self._recover()

    def _recover(self) -> None:
        self._error: Exception | None = None
        self._is_final = False
        self._failing_since: float | None = None
        self._pauses: Iterator[float] = delays(_FIRST_PAUSE, _LONGEST_PAUSE, self._random)
        self._next_try = float("-inf")

    @property
    def size(self) -> int:
        """Connections: idle, lent and being opened."""
        return len(self._idle) + len(self._leased) + self._opening

    @property
    def is_full(self) -> bool:
        """True when `min_size` connections are there."""
        return len(self._idle) + len(self._leased) >= self.limits.min_size

    def held(self) -> list[C]:
        """All connections, idle or lent."""
        lent = [entry.reference() for entry in list(self._leased.values())]
        return [*(idle for idle, _ in list(self._idle)), *filter(None, lent)]

    def stats(self) -> dict[str, int]:
        """The state now and the counters, under psycopg_pool's names."""
        return {
            "pool_min": self.limits.min_size,
            "pool_max": self.limits.max_size,
            "pool_size": self.size,
            "pool_available": len(self._idle),
            "requests_waiting": len(self._waiting),
            **self.counters.rounded(),
        }

    # -- lending

    def take(self, now: float) -> C | None:
        """Lend the idle connection that was used last; None when nothing is idle."""
        if not self._idle:
            return None
        connection, entry = self._idle.pop()
        entry.since = now
        self._leased[id(connection)] = entry
        self.counters.requests_num += 1
        return connection

    def queue(self, now: float, wake: Callable[[], object]) -> Waiter[C]:
        """Wait in line; call it only when `take` gave nothing.

        `PoolClosed`, or `PoolTimeout` at once where `max_waiting` others wait.
        """
        self.require_open()
        counters, limit = self.counters, self.limits.max_waiting
        counters.requests_num += 1
        if limit and len(self._waiting) >= limit:
            counters.requests_errors += 1
            raise PoolTimeout(f"{limit} others wait for a connection of the pool already")
        counters.requests_queued += 1
        waiter: Waiter[C] = Waiter(wake, now)
        self._waiting.append(waiter)
        return waiter

    def settle(self, waiter: Waiter[C], now: float) -> C:
        """End a wait: the connection that came, else its error, else `PoolTimeout`."""
        if waiter.connection is not None:
            return waiter.connection
        self._leave(waiter, now)
        self.counters.requests_errors += 1
        if waiter.error is not None:
            raise waiter.error
        raise PoolTimeout(
            f"no connection of the pool became free within {now - waiter.since:.3g} s",
            hint=f"{len(self._leased)} of {self.limits.max_size} are in use"
            + (f"; a new one failed: {self._error}" if self._error is not None else ""),
        ) from self._error

    def give_up(self, waiter: Waiter[C], now: float) -> C | None:
        """End a wait that was interrupted; a connection that came meanwhile is to be returned."""
        if waiter.connection is None:
            self._leave(waiter, now)
            self.counters.requests_errors += 1
        return waiter.connection

    def _leave(self, waiter: Waiter[C], now: float) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self.counters.requests_wait_ms += (now - waiter.since) * 1000

    def lease(self, connection: C) -> Entry:
        """What is known of a connection that is lent; `InterfaceError` for any other."""
        entry = self._leased.get(id(connection))
        if entry is None or entry.reference() is not connection:
            raise InterfaceError("the connection was not lent by this pool, or was returned before")
        return entry

    def give_back(self, connection: C, now: float, *, keep: bool, is_check: bool = False) -> bool:
        """Take a lent connection back. False: it left the pool, and the caller closes it.

        `keep`: it is as good as new. `is_check`: it was lent by `borrow_idle`, or failed a check.
        """
        entry, counters = self.lease(connection), self.counters
        del self._leased[id(connection)]
        if is_check:
            counters.connections_lost += not keep
        else:
            counters.usage_ms += (now - entry.since) * 1000
            counters.returns_bad += not keep
        is_spare = self.closed or now >= entry.expires or self.size >= self.limits.max_size
        if not keep or is_spare:
            return False
        if is_check and not self._waiting:
            self._idle.appendleft((connection, entry))
        else:
            self._place(connection, entry, now)
        return True

    def borrow_idle(self) -> list[C]:
        """Lend all idle connections for a check; give them back from the end of the list on."""
        found = []
        while self._idle:
            connection, entry = self._idle.popleft()
            self._leased[id(connection)] = entry
            found.append(connection)
        return found

    def _place(self, connection: C, entry: Entry, now: float) -> None:
        """Give a connection to the one who waits longest, else let it be idle."""
        entry.since = now
        if not self._waiting:
            self._idle.append((connection, entry))
            return
        waiter = self._waiting.popleft()
        waiter.connection = connection
        self._leased[id(connection)] = entry
        self.counters.requests_wait_ms += (now - waiter.since) * 1000
        waiter.wake()

    # -- growing and shrinking

    def due(self, now: float, at_most: int) -> tuple[list[C], int]:
        """What has to be done: connections to close, and how many to open (`at_most` more).

        Each opening ends by `opened` or `failed`.
        """
        self._leased = {
            key: entry for key, entry in self._leased.items() if entry.reference() is not None
        }
        closing = self._superfluous(now)
        opening = min(self._missing(now), at_most)
        self._opening += opening
        return closing, opening

    def _superfluous(self, now: float) -> list[C]:
        limits, size = self.limits, self.size
        kept: deque[tuple[C, Entry]] = deque()
        closing = []
        for connection, entry in self._idle:
            is_unused = size > limits.min_size and now - entry.since >= limits.max_idle
            if now >= entry.expires or size > limits.max_size or is_unused:
                closing.append(connection)
                size -= 1
            else:
                kept.append((connection, entry))
        self._idle = kept
        return closing

    def _wanted(self) -> int:
        if self.closed:
            return 0
        wanted = len(self._waiting) - self._opening
        if self._failing_since is None or self._next_try <= (
            self._failing_since + self.limits.reconnect_timeout
        ):
            wanted = max(wanted, self.limits.min_size - self.size)
        return max(min(wanted, self.limits.max_size - self.size), 0)

    def _missing(self, now: float) -> int:
        """How many to open now; after a failure it is tried with one, and after a pause."""
        wanted = self._wanted()
        if self._failing_since is None:
            return wanted
        return 1 if wanted and not self._opening and now >= self._next_try else 0

    def pause(self, now: float) -> float | None:
        """Seconds until `due` has something to do by itself; None while nothing will change."""
        if self.closed:
            return None
        if self._wanted() and not self._opening:
            return max(self._next_try - now, 0.0)
        limits = self.limits
        if not self.size:
            return None
        times = [now + max(limits.max_idle, _OFTEN), *(entry.expires for _, entry in self._idle)]
        times += [entry.expires for entry in self._leased.values() if entry.expires > now]
        if self.size > limits.min_size:
            times += [entry.since + limits.max_idle for _, entry in self._idle]
        return max(min(times) - now, 0.0)

    def opened(self, connection: C, now: float, seconds: float, baseline: Any = None) -> bool:
        """Add a connection that took `seconds` to open. False: not needed, the caller closes it."""
        self._opening -= 1
        self.counters.connections_num += 1
        self.counters.connections_ms += seconds * 1000
        self._recover()
        if self.closed or self.size >= self.limits.max_size:
            return False
        notify = self._notify
        expires = now + self.limits.max_lifetime * (1 - _JITTER * self._random())
        reference = weakref.ref(connection, lambda _: notify())
        self._place(connection, Entry(reference, now, expires, baseline), now)
        if self.is_full:
            self._tell_full()
        return True

    def failed(self, error: Exception, now: float, seconds: float, *, is_final: bool) -> None:
        """Note that an opening failed. It is tried again, ever more rarely.

        `is_final`: trying again will not help, so that nobody needs to wait for it.
        """
        self._opening -= 1
        self.counters.connections_num += 1
        self.counters.connections_errors += 1
        self.counters.connections_ms += seconds * 1000
        self._error, self._is_final = error, is_final
        if self._failing_since is None:
            self._failing_since = now
        self._next_try = now + next(self._pauses)
        if is_final:
            self._tell_full()
            if not self._leased:
                self._refuse(error)

    def abandoned(self) -> None:
        """Note that an opening was given up, as the pool closes."""
        self._opening -= 1

    def _tell_full(self) -> None:
        calls, self.on_full = self.on_full, []
        for call in calls:
            call()

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            waiter.error = error
            waiter.wake()

    # -- opening and closing the pool

    def require_open(self) -> None:
        """`PoolClosed` unless the pool is open."""
        if self.closed:
            raise PoolClosed("the pool is closed", hint="call open(), or enter it by `with`")

    def require_full(self, waited: float) -> None:
        """`PoolTimeout` unless `min_size` connections are there; a final error instead of it."""
        self.require_open()
        if self.is_full:
            return
        if self._error is not None and self._is_final:
            raise self._error
        raise PoolTimeout(
            f"the pool did not have {self.limits.min_size} connections within {waited:.3g} s",
            hint=f"the last attempt failed: {self._error}" if self._error is not None else None,
        ) from self._error

    def resize(self, min_size: int, max_size: int | None) -> None:
        """Change the number of connections; `max_size` None: the same as `min_size`."""
        most = min_size if max_size is None else max_size
        self.limits = replace(self.limits, min_size=min_size, max_size=most)

    def drain(self) -> None:
        """Let every connection be replaced: idle ones at the next `due`, lent ones on return."""
        for entry in [*self._leased.values(), *(entry for _, entry in self._idle)]:
            entry.expires = float("-inf")

    def close(self) -> list[C]:
        """Close the pool; returns the idle connections, which the caller closes."""
        self.closed = True
        self.drain()
        idle = [connection for connection, _ in self._idle]
        self._idle.clear()
        self._refuse(PoolClosed("the pool was closed"))
        self._tell_full()
        return idle
