"""The bounds of `run_transaction`: what is tried again, how often, and when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from sqlalchemy.exc import ArgumentError, DBAPIError

OnRetry = Callable[[DBAPIError, int], object]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 1.0
_chance = random.SystemRandom()  # an application that seeds `random` keeps its numbers


class Bounds(TypedDict, total=False):
    """The keywords of `run_transaction`; see there."""

    retries: int | None
    deadline: float
    exactly_once: bool
    begin: str
    on_retry: OnRetry | None


@dataclass
class Attempts:
    """One call: `retries` at most (None: no limit), within `deadline` seconds.

    `on_retry(error, failures)` is told before each wait.
    """

    retries: int | None = None
    deadline: float = 60.0
    exactly_once: bool = True
    begin: str = "immediate"
    on_retry: OnRetry | None = None
    _failures: int = field(default=0, init=False)
    _give_up: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.retries is not None and self.retries < 0:
            raise ArgumentError(f"retries is {self.retries}; it counts from 0")
        if self.deadline <= 0:
            raise ArgumentError(f"deadline is {self.deadline:g} s; it must be above 0")
        self._give_up = time.monotonic() + self.deadline

    def options(self, dialect: Any) -> dict[str, Any]:
        """Execution options for an attempt's connection; none for another back end."""
        if not getattr(dialect, "is_dqlite", False):
            return {}
        options: dict[str, Any] = {"dqlite_begin": self.begin}
        if self.exactly_once:
            options["dqlite_exactly_once"] = max(self._give_up - time.monotonic(), 0.001)
        return options

    def pause(self, error: DBAPIError, dialect: Any) -> float | None:
        """Seconds to wait before the next attempt; None when `error` is what the caller gets."""
        self._failures += 1
        if not (getattr(dialect, "is_dqlite", False) and is_retryable(error)):
            return None
        if self.retries is not None and self._failures > self.retries:
            return None
        longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20))
        seconds = longest * (0.5 + _chance.random() / 2)
        if time.monotonic() + seconds >= self._give_up:
            return None
        if self.on_retry is not None:
            self.on_retry(error, self._failures)
        return seconds


def is_retryable(error: BaseException) -> bool:
    """Whether the driver knows that nothing of the transaction was applied."""
    return bool(getattr(getattr(error, "orig", error), "is_retryable", False))
