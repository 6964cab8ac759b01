"""Picks the row decoder: C where it was built, else Python. `DQLITE_DBAPI_ACCEL` forces either."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from dqlite_dbapi.wire import pyrows

Decoder = Callable[[bytes, int, int, list[tuple[Any, ...]]], bool]


def _pick(wanted: str) -> tuple[str, Decoder]:
    if wanted not in ("auto", "c", "python"):
        raise ImportError(f"DQLITE_DBAPI_ACCEL is {wanted!r}; it takes auto, c or python")
    if wanted != "python":
        try:
            from dqlite_dbapi import _rows
        except ImportError:
            if wanted == "c":
                raise
        else:
            return "c", _rows.decode
    return "python", pyrows.decode


accelerator, decode = _pick(os.environ.get("DQLITE_DBAPI_ACCEL", "auto"))
