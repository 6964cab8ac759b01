"""What `serve-status` remembers of a cluster: a bounded number of looks and of events."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dqlite_dbapi import Change, Client, Health
from dqlite_dbapi.cli.status import state_of, told
from dqlite_dbapi.protocol.health import changes

EVENTS = 50
_HURRY = 0.2


class Sample(NamedTuple):
    """One look: `at` in seconds since the epoch, round trips in ms of the members that answered."""

    at: float
    state: int
    leader: str | None
    round_trips: dict[str, float]


class Note(NamedTuple):
    """Something that has changed between two looks, in words."""

    at: float
    text: str


class Shown(NamedTuple):
    """A copy of all that is remembered; `health` is None before the first look."""

    health: Health | None
    samples: tuple[Sample, ...]
    notes: tuple[Note, ...]
    leader_changes: int


class Finding(NamedTuple):
    """What one look has shown: `outage` is how long nobody led, when somebody leads again."""

    health: Health
    is_new_leader: bool
    outage: float | None


class History:
    """Looks and events, the newest last; threads may share it."""

    def __init__(self, size: int, clock: Callable[[], float] = time.time) -> None:
        """`size` looks are kept; `clock` gives seconds since the epoch."""
        self._lock = threading.Lock()
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=size)
        self._notes: deque[Note] = deque(maxlen=EVENTS)
        self._health: Health | None = None
        self._last_leader: str | None = None
        self._last_led = 0.0
        self._leader_changes = 0

    def add(self, health: Health) -> Finding:
        """Take note of a look."""
        now = self._clock()
        trips = {each.address: each.round_trip for each in health.members}
        known = {address: trip for address, trip in trips.items() if trip is not None}
        with self._lock:
            found = [] if self._health is None else changes(self._health, health)
            self._notes += [Note(now, told(change)) for change in found]
            self._samples.append(Sample(now, state_of(health), health.leader, known))
            finding = self._judge(health, found, now)
            self._health = health
        return finding

    def _judge(self, health: Health, found: Sequence[Change], now: float) -> Finding:
        if health.leader is None:
            return Finding(health, is_new_leader=False, outage=None)
        is_new = self._last_leader not in (None, health.leader)
        was_lost = self._last_leader is not None and any(
            change.kind == "leader_changed" and not change.before for change in found
        )
        outage = now - self._last_led if was_lost or is_new else None
        self._leader_changes += is_new
        self._last_leader, self._last_led = health.leader, now
        return Finding(health, is_new, outage)

    def shown(self) -> Shown:
        """A copy for a page."""
        with self._lock:
            kept = tuple(self._samples), tuple(self._notes)
            return Shown(self._health, *kept, self._leader_changes)

    @property
    def age(self) -> float:
        """Seconds since the newest look; infinite before the first."""
        with self._lock:
            newest = self._samples[-1].at if self._samples else float("-inf")
        return self._clock() - newest


class Watcher(threading.Thread):
    """Looks at a cluster again and again, more often while nobody leads."""

    def __init__(
        self,
        client: Client,
        tell: Callable[[Health], object],
        *,
        interval: float,
        timeout: float,
        database: str | None,
    ) -> None:
        """`tell` is given each look; the rest as for `Client.health`, seconds."""
        super().__init__(name="dqlite-status", daemon=True)
        self._client = client
        self._tell = tell
        self._interval = interval
        self._timeout = timeout
        self._database = database
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until `end`."""
        pause = 0.0
        while not self._ended.wait(pause):
            health = self._client.health(self._timeout, database=self._database)
            self._tell(health)
            pause = self._interval if health.leader else min(self._interval, _HURRY)

    def end(self) -> None:
        """Stop after the present look."""
        self._ended.set()
        if self.is_alive():
            self.join(self._timeout + 2.0)
