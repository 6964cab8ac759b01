"""What the driver is to reach, as ratios of times within one run.

The machine's own speed changes by half within minutes, so contestants are compared round by round,
where one has its turn right after the other.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from itertools import repeat
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.figures import Summary

C, C_MANY = "C", "C, 60 rows, prepared, pipelined"
LOCAL, PEER = "sqlite3, in memory", "dqlite-dbapi"
BEST = "driver or driver asyncio"


class Figure(NamedTuple):
    """The median of a contestant in a case; `BEST` is the lesser of the two of ours."""

    case: str
    contestant: str

    def of(self, summary: Summary, percentile: str) -> Iterable[float]:
        """Seconds: one value, or one for each of the `rounds`; none where it was not measured."""
        everyone = summary.get(self.case, {}).get("contestants", {})
        names = ("driver", "driver asyncio") if self.contestant == BEST else (self.contestant,)
        found = [everyone[name][percentile] for name in names if name in everyone]
        lists = [each if isinstance(each, list) else [each] for each in found]
        return [min(values) for values in zip(*lists, strict=False)]


class Goal(NamedTuple):
    """`above / below` is to be at most, or at least, `limit`."""

    text: str
    above: Figure
    below: Figure
    limit: float
    at_least: bool = False

    def result(self, summary: Summary) -> dict[str, Any]:
        """What was measured: all is None if a contestant is missing.

        `measured` is the median of the rounds' ratios, and `met` is about that; `whole` is the
        ratio of the medians over all rounds, `quiet` that of the fastest tenths.
        """
        measured = self._ratio(summary, "rounds")
        met = None
        if measured is not None:
            met = measured >= self.limit if self.at_least else measured <= self.limit
        sign = ">=" if self.at_least else "<="
        return {
            "goal": self.text,
            "limit": f"{sign} {self.limit}",
            "measured": measured,
            "whole": self._ratio(summary, "p50"),
            "quiet": self._ratio(summary, "p10"),
            "met": met,
        }

    def _ratio(self, summary: Summary, percentile: str) -> float | None:
        pairs = zip(
            self.above.of(summary, percentile), self.below.of(summary, percentile), strict=False
        )
        ratios = [above / below for above, below in pairs if below]
        return statistics.median(ratios) if ratios else None


def _on(case: str, text: str, above: str, below: str, limit: float, at_least: bool = False) -> Goal:
    return Goal(text, Figure(case, above), Figure(case, below), limit, at_least)


def _wherever(case: str, *rest: Any) -> list[Goal]:
    """The goal with all on one processor, then with processors free."""
    text, *others = rest
    return [
        _on(f"{case}-pinned", f"{text}, one CPU", *others),
        _on(case, f"{text}, CPUs free", *others),
    ]


def _memory(ours: str) -> Goal:
    return Goal(f"memory: peak of {ours} to its result", Figure("memory", ours), ONE, 1.2)


class _One(Figure):
    """The number 1, for goals whose figure already is a ratio."""

    def of(self, summary: Summary, percentile: str) -> Iterable[float]:
        """One, as often as is needed."""
        return repeat(1.0)


ONE = _One("", "")

GOALS: tuple[Goal, ...] = (
    *_wherever("select1", "SELECT 1: driver to raw Python", "driver", "raw Python", 1.25),
    *_wherever("select1", "SELECT 1: driver to go-dqlite", "driver", "go-dqlite", 1.0),
    *_wherever("select1", "SELECT 1: dqlite-dbapi to driver", PEER, "driver", 8.0, True),
    *_wherever("select1-asyncio", "SELECT 1, asyncio: driver to a bare Protocol",
               "driver asyncio", "raw asyncio", 1.3),
    *_wherever("clients-16", "16 connections: the better of ours to go-dqlite, time",
               BEST, "go-dqlite", 1.0),
    *_wherever("clients-64", "64 connections: the better of ours to go-dqlite, time",
               BEST, "go-dqlite", 1.0),
    *_wherever("connect", "connect and SELECT 1: driver to go-dqlite", "driver", "go-dqlite", 1.0),
    *_wherever("many", "executemany: go-dqlite's loop to driver", "go-dqlite", "driver", 8.0, True),
    *_wherever("many", "executemany: C of many rows a statement to driver",
               C_MANY, "driver", 0.6, True),
    *_wherever("many", "executemany: C of many rows, as text, to driver",
               "C, 60 rows, as text", "driver", 0.6, True),
    *_wherever("fetch", "fetch 100,000: driver to C that walks", "driver", C, 1.3),
    *_wherever("fetch", "fetch 100,000: driver to sqlite3 in memory", "driver", LOCAL, 1.2),
    *_wherever("fetch", "fetch 100,000: driver to go-dqlite", "driver", "go-dqlite", 1.0),
    _memory("driver"),
    _memory("driver asyncio"),
    _on("blob-read-10", "10 MiB read: driver to raw Python", "driver", "raw Python", 1.5),
    _on("blob-write-10", "10 MiB write: driver to raw Python", "driver", "raw Python", 1.5),
    _on("blob-read-100", "100 MiB read: driver to raw Python", "driver", "raw Python", 1.5),
    _on("blob-write-100", "100 MiB write: driver to raw Python", "driver", "raw Python", 1.5),
    _on("core-select", "Core select of 20,000: to the driver",
        "driver SQLAlchemy", "driver", 1.5),
    _on("orm-insert-newest", "ORM, 5,000 objects, newest engine: to pysqlite in memory",
        "driver SQLAlchemy", "pysqlite SQLAlchemy, in memory", 2.0),
)  # fmt: skip


def results(summary: Summary) -> list[dict[str, Any]]:
    """Every goal, in order, whether it was measured or not."""
    return [goal.result(summary) for goal in GOALS]


HEADS = ("goal (ratio of times)", "limit", "measured", "of medians", "of tenths", "met?")


def render(found: list[dict[str, Any]]) -> Table:
    """Every goal, with what was measured; nothing is left out."""
    table = Table(*HEADS)
    for each in found:
        table.add_row(*row(each))
    return table


def _figure(value: float | None) -> str:
    return "not in this run" if value is None else f"{value:.2f}"


def row(each: dict[str, Any]) -> tuple[str, ...]:
    """A goal as the cells of a table."""
    met = {None: "", True: "yes", False: "NO"}[each["met"]]
    found = [_figure(each[key]) for key in ("measured", "whole", "quiet")]
    return each["goal"], each["limit"], *found, met
