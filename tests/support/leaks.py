"""How much memory of Python's is left behind by something that is done again and again."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable


def growth(work: Callable[[], object], *, first: int, then: int) -> int:
    """Bytes that are held after doing `work` `then` times, beyond those after the `first` ones."""
    for _ in range(first):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(then):
            work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
