"""Delays between attempts, as arithmetic: exponential with full jitter below a cap."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dqlite_dbapi.errors import Error


def delays(first: float, cap: float, random: Callable[[], float]) -> Iterator[float]:
    """Yield seconds to wait for ever: from half of the present step to all of it."""
    step = first
    while True:
        yield step * (0.5 + 0.5 * random())
        step = min(step * 2, cap)


class Attempts:
    """How long one call may go on: `deadline` over all, and waits for another writer.

    All times are seconds of `clock`.
    """

    def __init__(
        self,
        deadline: float,
        busy_timeout: float,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.deadline = deadline
        self._busy_timeout = busy_timeout
        self._clock = clock
        self._random = random
        self._pauses: Iterator[float] | None = None
        self._give_up = 0.0

    def may_retry(self, error: Error) -> bool:
        """True when `error` says that nothing was applied and there is time left."""
        return error.is_retryable and self._clock() < self.deadline

    def busy_pause(self) -> float | None:
        """Seconds to wait for the other writer, None when the busy timeout is over."""
        now = self._clock()
        if self._pauses is None:
            self._pauses = delays(0.001, 0.05, self._random)
            self._give_up = now + self._busy_timeout
        return None if now >= self._give_up else min(next(self._pauses), self._give_up - now)
