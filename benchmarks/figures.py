"""From answers of contestants to medians, percentiles and ratios, and the tables of those."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from rich.table import Table

from benchmarks.cases import Case
from benchmarks.worlds import Reply

Figures = dict[str, Any]
Summary = dict[str, dict[str, Any]]

#: Seconds -> the number shown, by unit; "x" is no time, and is shown as it is.
SHOWN: dict[str, Callable[[float], float]] = {
    "us": lambda seconds: seconds * 1e6,
    "ms": lambda seconds: seconds * 1e3,
    "rows/s": lambda seconds: 1 / seconds,
    "calls/s": lambda seconds: 1 / seconds,
    "x": float,
}
PERCENTILES = (10, 25, 50, 75, 90, 95, 99)


def samples(reply: Reply, unit: str) -> list[float]:
    """What one answer adds: its laps, or one value for each call, row or whole operation."""
    if reply.get("laps"):
        return list(reply["laps"])
    if unit == "ms":
        return list(reply.get("clients") or [reply["wall"]])
    return [reply["wall"] / reply["calls"]]


def figures(replies: list[Reply], unit: str) -> Figures:
    """Medians over all rounds: `p10` to `p99` and `cpu` in seconds, `rss` and `peak` in MiB.

    `rounds` are the medians of each round, in order.
    `cpu` is of the contestant's process alone, for each call, row or (unit ms) operation.
    """
    found = [value for reply in replies for value in samples(reply, unit)]
    cuts = statistics.quantiles(found, n=100, method="inclusive") if found[1:] else found * 99
    whole = unit == "ms" and not any("clients" in reply for reply in replies)
    cpu = [reply["cpu"] / (1 if whole else reply["calls"]) for reply in replies]
    made = {
        "count": float(len(found)),
        "rounds": [statistics.median(samples(reply, unit)) for reply in replies],
        **{f"p{percent}": cuts[percent - 1] for percent in PERCENTILES},
        "cpu": statistics.median(cpu),
        "rss": max(reply["rss"] for reply in replies),
    }
    if "peak" in replies[0]:
        made["peak"] = statistics.median(reply["peak"] for reply in replies) / 2**20
    return made


def summarise(case: Case, replies: dict[str, list[Reply]], errors: dict[str, str]) -> Any:
    """The case as it goes into the JSON file; contestants in the order of its turns."""
    return {
        "title": case.title,
        "unit": case.unit,
        "contestants": {
            turn.label: figures(replies[turn.label], case.unit)
            for turn in case.turns
            if replies.get(turn.label)
        },
        "absent": errors,
    }


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cells(case: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of a case's table: label, median, middle half, ratio, CPU, RSS, peak."""
    shown = SHOWN[case["unit"]]
    everyone = case["contestants"]
    base = next(iter(everyone.values()))["p50"] if everyone else 0.0
    for label, each in everyone.items():
        low, high = sorted((shown(each["p25"]), shown(each["p75"])))
        yield (
            label,
            _number(shown(each["p50"])),
            f"{_number(low)} .. {_number(high)}",
            f"{each['p50'] / base:.2f}",
            _number(each["cpu"] * 1e6),
            f"{each['rss']:.0f}",
            f"{each['peak']:.1f}" if "peak" in each else "",
        )
    for label, reason in case["absent"].items():
        yield (label, "absent", reason, "", "", "", "")


def render(summary: Summary) -> Table:
    """Every case; `ratio` is of times, to the first contestant of the case."""
    table = Table("case", "contestant", "median", "middle half", "ratio", "CPU us", "RSS", "peak")
    for case in summary.values():
        heading = f"{case['title']}, {case['unit']}"
        for row in cells(case):
            table.add_row(heading, *row)
            heading = ""
        table.add_section()
    return table
