"""`dqlite_dbapi.snapshot`, and its asyncio twin run to its end, under the same names."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import dqlite_dbapi.aio.snapshot
import dqlite_dbapi.snapshot
from tests.support.twins import LoopThread

_NAMES = ("dump", "iterdump", "load", "restore", "snapshot", "stale_snapshot")


def blocking_functions() -> SimpleNamespace:
    """The sync functions."""
    return SimpleNamespace(**{name: getattr(dqlite_dbapi.snapshot, name) for name in _NAMES})


def asyncio_functions(loop: LoopThread) -> SimpleNamespace:
    """The asyncio functions, each run on `loop`."""
    module = dqlite_dbapi.aio.snapshot
    return SimpleNamespace(**{name: partial(loop.call, getattr(module, name)) for name in _NAMES})
