"""Counts the lost answers to COMMIT that `run_transaction` or `was_applied` found out about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dqlite_dbapi import retry
from dqlite_dbapi.aio import retry as aio_retry
from dqlite_dbapi.protocol import token

_counter: ContextVar[Counter[bool] | None] = ContextVar("settlements", default=None)
_settle = token.settle


def _counting(*args: Any) -> Any:
    was_applied = yield from _settle(*args)
    counter = _counter.get()
    if counter is not None:
        counter[was_applied] += 1
    return was_applied


for _module in (token, retry, aio_retry):
    _module.settle = _counting  # type: ignore[attr-defined]


@contextmanager
def settlements(counter: Counter[bool]) -> Iterator[None]:
    """Count into `counter` what this thread, or this task, finds out: whether it was applied."""
    before = _counter.set(counter)
    try:
        yield
    finally:
        _counter.reset(before)
