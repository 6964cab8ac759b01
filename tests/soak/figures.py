"""What a soak measures of processes, and when that is too much growth."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGESIZE")
MIB = 1 << 20

#: Minutes before figures count: members first fill the part of the Raft log that they keep in
#: memory (8192 entries with the pages of each), and caches.
WARM_UP = 5
#: From the first to the last quarter of the samples (medians) a figure may grow by this share of
#: itself and by this much more.
CLIENT = {"rss": (0.10, 8.0), "fds": (0.0, 8.0), "threads": (0.0, 4.0)}
MEMBER = {"rss": (0.25, 16.0), "fds": (0.0, 16.0), "threads": (0.0, 2.0)}
LATENCY = {"p50": (1.0, 5.0)}


class Sample(NamedTuple):
    """Resident memory in MiB, open descriptors and threads of one process."""

    rss: float
    fds: int
    threads: int


class Minute(NamedTuple):
    """One line of the report; `members` by their numbers, None for one that does not run.

    Latencies in ms over the operations of that time.
    """

    operations: int
    errors: int
    p50: float
    p99: float
    client: Sample
    members: tuple[Sample | None, ...]


def sample(pid: int | None) -> Sample | None:
    """The figures of a process; None if it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        fds = len(list((folder / "fd").iterdir()))
        threads = len(list((folder / "task").iterdir()))
    except OSError:
        return None
    return Sample(round(pages * _PAGE / MIB, 1), fds, threads)


class Meter:
    """Counts operations of all threads, and the time that each took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: list[float] = []
        self._errors: Counter[str] = Counter()
        self.all_errors: Counter[str] = Counter()

    def done(self, started: float) -> None:
        """Note an operation that began at `started` (monotonic) and has succeeded."""
        with self._lock:
            self._times.append(time.monotonic() - started)

    def failed(self, error: BaseException) -> None:
        """Note one that has not."""
        with self._lock:
            self._errors[type(error).__name__] += 1

    def take(self) -> tuple[int, int, float, float]:
        """Operations, errors, median and 99th percentile in ms since the last call."""
        with self._lock:
            times, self._times = sorted(self._times), []
            errors, self._errors = self._errors, Counter()
        self.all_errors += errors
        if not times:
            return 0, errors.total(), 0.0, 0.0
        late = times[min(len(times) * 99 // 100, len(times) - 1)]
        return len(times), errors.total(), median(times) * 1000, late * 1000


def growth(minutes: list[Minute]) -> list[str]:
    """A sentence for each figure that grew beyond its bound from the first to the last quarter.

    Without the first minutes, or half of a short run.
    """
    settled = minutes[min(WARM_UP, len(minutes) // 2) :]
    size = max(len(settled) // 4, 1)
    first, last = settled[:size], settled[-size:]
    found = []
    for name, bound in CLIENT.items():
        before, after = ([float(getattr(m.client, name)) for m in part] for part in (first, last))
        found.append(_grown(f"client {name}", before, after, bound))
    for name, bound in MEMBER.items():
        before, after = (_of_members(part, name) for part in (first, last))
        found.append(_grown(f"member {name}", before, after, bound))
    for name, bound in LATENCY.items():
        before, after = ([getattr(m, name) for m in part] for part in (first, last))
        found.append(_grown(f"latency {name}", before, after, bound))
    return [each for each in found if each]


def _of_members(minutes: list[Minute], name: str) -> list[float]:
    return [float(getattr(each, name)) for m in minutes for each in m.members if each is not None]


def _grown(name: str, before: list[float], after: list[float], bound: tuple[float, float]) -> str:
    if not (before and after):
        return f"{name}: nothing was measured"
    start, end = median(before), median(after)
    most = start * (1 + bound[0]) + bound[1]
    return f"{name} grew from {start:g} to {end:g}, more than {most:g}" if end > most else ""
