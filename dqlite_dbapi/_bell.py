"""A bell: one thread waits for it, any thread or signal handler rings it."""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """Rung once or often, it wakes one `wait`, now or later.

    Not a `SimpleQueue`: before CPython 3.13 its `get(timeout=...)` waits for ever if the time is
    over when the waiting begins, as it may be on a busy machine.
    """

    def __init__(self) -> None:
        self._held = threading.Lock()
        self._held.acquire()

    def ring(self) -> None:
        """Wake who waits, or else who waits next."""
        with suppress(RuntimeError):  # it has been rung already
            self._held.release()

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; True if it was rung."""
        return self._held.acquire(timeout=max(seconds, 0))
