"""`dqlite-py bench`: how fast a cluster answers, in a few seconds."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import click
from rich.table import Table

import dqlite_dbapi
from dqlite_dbapi import Connection, Options
from dqlite_dbapi.cli.output import console
from dqlite_dbapi.cli.target import url_argument

_SLOW = 0.95


class Figure(NamedTuple):
    """One thing that was measured: times in ms, calls in a second of all connections together."""

    name: str
    median: float
    slow: float
    rate: float


def measure(name: str, jobs: list[Callable[[], object]], count: int) -> Figure:
    """Call each job `count` times, a thread each."""

    def timed(job: Callable[[], object]) -> list[float]:
        found = []
        for _ in range(count):
            before = time.perf_counter()
            job()
            found.append(time.perf_counter() - before)
        return found

    started = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as pool:
        times = sorted(value for values in pool.map(timed, jobs) for value in values)
    rate = len(times) / (time.perf_counter() - started)
    slow = times[min(int(len(times) * _SLOW), len(times) - 1)]
    return Figure(name, statistics.median(times) * 1000, slow * 1000, rate)


def run(url: Options, count: int, connections: int) -> list[Figure]:
    """All figures, with a table of its own that is dropped at the end."""
    name = f"dqlite_bench_{secrets.token_hex(8)}"
    insert = f"INSERT INTO {name} (value) VALUES (?)"  # noqa: S608 - our own name
    with ExitStack() as stack:

        def connect() -> Connection[Any]:
            return stack.enter_context(closing(dqlite_dbapi.connect(url, autocommit=True)))

        def select(connection: Connection[Any]) -> Callable[[], object]:
            return lambda: connection.execute("SELECT 1").fetchone()

        def write(connection: Connection[Any]) -> Callable[[], object]:
            return lambda: connection.execute(insert, ("x" * 100,))

        several = [connect() for _ in range(connections)]
        first = several[0]
        first.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, value TEXT)")
        stack.callback(first.execute, f"DROP TABLE IF EXISTS {name}")
        opened: list[Callable[[], object]] = [lambda: dqlite_dbapi.connect(url).close()]
        together = f", {connections} connections"
        return [
            measure("connect", opened, max(count // 10, 1)),
            measure("SELECT 1", [select(first)], count),
            measure("INSERT", [write(first)], count),
            measure(f"SELECT 1{together}", [select(each) for each in several], count),
            measure(f"INSERT{together}", [write(each) for each in several], count),
        ]


@click.command()
@url_argument
@click.option("--count", type=click.IntRange(1), default=200, show_default=True,
              help="Calls of each kind on each connection.")  # fmt: skip
@click.option("--connections", type=click.IntRange(1), default=4, show_default=True)
def bench(url: Options, count: int, connections: int) -> None:
    """Measure connecting, SELECT 1 and INSERT, from here, as the cluster is now.

    Rows of 100 bytes go into a table of its own in URL's database, which is dropped at the end.
    """
    table = Table("", "median ms", "95 % below ms", "calls/s")
    for figure in run(url, count, connections):
        numbers = (f"{figure.median:.3f}", f"{figure.slow:.3f}", f"{figure.rate:.0f}")
        table.add_row(figure.name, *numbers)
    console().print(table)
