"""What `import dqlite_dbapi` costs: modules, time and memory (`pytest -rP` prints the figures)."""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 10
UNWANTED = {
    *("asyncio", "ssl", "_ssl", "sqlite3", "_sqlite3", "multiprocessing", "subprocess", "tempfile"),
    *("logging.handlers", "logging.config", "email", "http", "urllib.request", "uuid", "decimal"),
    *("yaml", "cffi", "_cffi_backend", "dqlite_node", "sqlalchemy", "alembic", "sqlalchemy_dqlite"),
    *("dqlite_dbapi.aio", "click", "rich", "numpy", "opentelemetry", "prometheus_client", "pytest"),
}
MODULES = """
import sys
before = set(sys.modules)
import dqlite_dbapi
print(*set(sys.modules) - before)
"""
COST = """
import time
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
memory, start = resident(), time.perf_counter()
import dqlite_dbapi
print((time.perf_counter() - start) * 1000, resident() - memory)
"""


def run(code):
    """Words that `code` prints in a new interpreter."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_nothing_heavy_is_loaded():
    assert UNWANTED & set(run(MODULES)) == set()


def test_time_and_memory():
    costs = [[float(word) for word in run(COST)] for _ in range(ROUNDS)]
    milliseconds, kibibytes = (statistics.median(column) for column in zip(*costs, strict=True))
    print(f"import dqlite_dbapi: {milliseconds:.1f} ms, {kibibytes:.0f} KiB (medians of {ROUNDS})")
    assert milliseconds < 1000
    assert kibibytes < 32_000
