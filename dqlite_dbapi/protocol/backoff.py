"""Delays between attempts, as arithmetic: exponential with full jitter below a cap."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def delays(first: float, cap: float, random: Callable[[], float]) -> Iterator[float]:
    """Yield seconds to wait for ever: from half of the present step to all of it."""
    step = first
    while True:
        yield step * (0.5 + 0.5 * random())
        step = min(step * 2, cap)
