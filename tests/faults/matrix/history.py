"""What clients did and what they were told, operation by operation; kept as JSON lines."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"


class Operation(NamedTuple):
    """One operation of one client; times in seconds of the monotonic clock.

    `process` is the client, which runs one operation at a time. `value` is JSON: the arguments and,
    once known, the results. `outcome`: `ok`, `fail` (certainly not applied) or `unknown`; `error`
    is the name of the error's class.
    """

    process: int
    function: str
    value: Any
    started: float
    ended: float
    outcome: str
    error: str = ""


class History:
    """The operations of all clients, in the order in which they ended; threads may share it."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._operations = list(operations)
        self._lock = threading.Lock()

    @property
    def operations(self) -> list[Operation]:
        """A copy of what has been recorded so far."""
        with self._lock:
            return list(self._operations)

    def __len__(self) -> int:
        return len(self._operations)

    def record(self, operation: Operation) -> None:
        """Add an operation that has ended."""
        with self._lock:
            self._operations.append(operation)

    def save(self, path: str | Path) -> None:
        """Write one JSON array a line."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(operation) + "\n" for operation in self.operations)

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` wrote."""
        with open(path, encoding="utf-8") as file:
            return cls(Operation(*json.loads(line)) for line in file)

    def gaps(self, moments: Sequence[float]) -> list[float]:
        """`longest_gaps` between acknowledged operations."""
        times = (each.ended for each in self.operations if each.outcome == OK)
        return longest_gaps(times, moments)


def longest_gaps(answers: Iterable[float], moments: Sequence[float]) -> list[float]:
    """Longest time without an answer from each moment to the next, all in seconds.

    The last one reaches to the last answer. A window without any answer counts whole.
    """
    times = sorted(answers)
    if not moments or not times:
        return []
    found = []
    for start, end in pairwise([*moments, max(times[-1], moments[-1])]):
        first = max(bisect_right(times, start) - 1, 0)
        window = [*times[first : bisect_right(times, end)], end]
        found.append(max(later - sooner for sooner, later in pairwise([start, *window])))
    return found
