"""What every contestant written in Python shares; needs nothing but the standard library.

A contestant is a process. It reads orders, one JSON list `[operation, n, m]` a line, from its
standard input, and answers each with one JSON object a line on its standard output:

- `wall`, `cpu`: seconds, of the clock and of the process's user and system time;
- `calls`: what `wall` is to be divided by: calls, rows or bytes;
- `laps`: seconds of each call, where an operation is one short call repeated `n` times;
- `error`: why there is no figure.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Reply = dict[str, Any]

MANY = "INSERT INTO many (name, price, stock, batch) VALUES (?, ?, ?, ?)"
INSERT = "INSERT INTO item (name) VALUES (?)"
FETCH = "SELECT id, name, price, stock FROM big LIMIT ?"
BLOB_READ = "SELECT data FROM large"
BLOB_WRITE = "INSERT OR REPLACE INTO written VALUES (1, ?)"


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def many_rows(count: int) -> list[tuple[str, float, int, int]]:
    """Rows for `MANY`."""
    return [(f"item number {i}", i * 0.5, i % 100, 7) for i in range(count)]


def repeat(action: Callable[[], object], n: int) -> Reply:
    """Measure `n` calls one by one."""
    clock = time.perf_counter
    laps = []
    cpu = cpu_seconds()
    for _ in range(n):
        start = clock()
        action()
        laps.append(clock() - start)
    return {"wall": sum(laps), "cpu": cpu_seconds() - cpu, "calls": n, "laps": laps}


def once(action: Callable[[], object], calls: int, times: int = 1) -> Reply:
    """Measure a call that does the work of `calls`, `times` over; freeing its result counts."""
    cpu = cpu_seconds()
    start = time.perf_counter()
    for _ in range(times):
        action()
    wall = time.perf_counter() - start
    return {"wall": wall, "cpu": cpu_seconds() - cpu, "calls": calls * times}


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def _size(rows: list[Any]) -> int:
    """Bytes of a list of rows with all that it holds, each object counted once."""
    seen: dict[int, int] = {id(rows): sys.getsizeof(rows)}
    for row in rows:
        seen[id(row)] = sys.getsizeof(row)
        for value in row:
            seen[id(value)] = sys.getsizeof(value)
    return sum(seen.values())


class Growth:
    """Peak growth of the resident size, in bytes, between its making and `peak`."""

    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = _status("VmRSS")

    def peak(self) -> int:
        """Bytes that the process grew by at most."""
        return _status("VmHWM") - self._before


def memory(fetch: Callable[[], list[Any]]) -> Reply:
    """Peak growth while `fetch` makes a list of rows, as a multiple of that list's own size."""
    growth = Growth()
    rows = fetch()
    peak = growth.peak()
    return {"wall": peak / _size(rows), "cpu": 0.0, "calls": 1, "peak": peak, "result": _size(rows)}


def serve(contestant: object) -> None:
    """Obey orders with the methods of `contestant` until the input ends."""
    for line in sys.stdin:
        operation, n, m = json.loads(line)
        method = getattr(contestant, operation, None)
        try:
            reply = method(n, m) if method else {"error": "does not do this"}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


def tables(rows: int, blob: int) -> list[str]:
    """SQL that makes what the operations use: `big` of `rows` rows, `large` of `blob` bytes."""
    number = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows})"
    made = [
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE many (name TEXT, price REAL, stock INTEGER, batch INTEGER)",
        "CREATE TABLE big (id INTEGER PRIMARY KEY, name TEXT, price REAL, stock INTEGER)",
        "CREATE TABLE large (id INTEGER PRIMARY KEY, data BLOB)",
        "CREATE TABLE written (id INTEGER PRIMARY KEY, data BLOB)",
        "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, price REAL, stock INTEGER)",
    ]
    if rows:
        made.append(
            "INSERT INTO big SELECT i, 'item number ' || i, i * 0.5, i % 100 "
            f"FROM ({number} SELECT i FROM n)"
        )
    if blob:
        made.append(f"INSERT INTO large VALUES (1, randomblob({blob}))")
    return made
