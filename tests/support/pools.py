"""What the tests of the pools share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any


def count_rows(pool: Any) -> int:
    """Rows of the table `t`."""
    with pool.connection() as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def wait_until(condition: Callable[[], object]) -> None:
    """Wait 10 s at most."""
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def sockets() -> int:
    """Sockets that this process has open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return found
