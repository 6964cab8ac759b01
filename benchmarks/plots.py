"""Draws three pictures of a run; needs matplotlib: `pip install -e .[bench]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.figures import PERCENTILES, Summary

COLOURS = {
    "C": "black",
    "raw Python": "dimgrey",
    "raw asyncio": "silver",
    "sqlite3, in memory": "tab:brown",
    "go-dqlite": "tab:cyan",
    "dqlite-dbapi": "tab:red",
    "dqlite-dbapi asyncio": "tab:pink",
    "driver": "tab:blue",
    "driver asyncio": "tab:green",
}
CONNECTIONS = (1, 16, 64)
SIZES = {**{n: f"size-{n}" for n in (10, 100, 1000, 10_000)}, 100_000: "fetch"}


def _series(summary: Summary, keys: dict[int, str]) -> dict[str, list[tuple[int, float]]]:
    """By contestant, points of x and calls (or rows) a second."""
    found: dict[str, list[tuple[int, float]]] = {}
    for x, key in keys.items():
        for label, each in summary.get(key, {}).get("contestants", {}).items():
            found.setdefault(label, []).append((x, 1 / each["p50"]))
    return found


def _lines(axes: Axes, series: dict[str, list[tuple[int, float]]]) -> None:
    for label, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=label, color=COLOURS[label])
    axes.set(xscale="log", yscale="log")


def _connections(axes: Axes, summary: Summary) -> None:
    _lines(axes, _series(summary, {n: f"clients-{n}" for n in CONNECTIONS}))
    axes.set(xlabel="connections", ylabel="SELECT 1 a second", xticks=CONNECTIONS)
    axes.set_xticklabels(map(str, CONNECTIONS))


def _sizes(axes: Axes, summary: Summary) -> None:
    series = _series(summary, SIZES)
    _lines(axes, {label: points for label, points in series.items() if points[1:]})
    axes.set(xlabel="rows of the result", ylabel="rows a second")


def _latency(axes: Axes, summary: Summary) -> None:
    for key in ("select1-pinned", "select1-asyncio-pinned"):
        for label, each in summary.get(key, {}).get("contestants", {}).items():
            if label in COLOURS and label != "sqlite3, in memory":
                times = [each[f"p{percent}"] * 1e6 for percent in PERCENTILES]
                axes.plot(range(len(times)), times, marker="o", ms=3, label=label,
                          color=COLOURS[label])  # fmt: skip
    axes.set(yscale="log", ylabel="SELECT 1 on one CPU, us", xlabel="percentile")
    axes.set_xticks(range(len(PERCENTILES)), map(str, PERCENTILES))


def draw(report: dict[str, Any], folder: Path) -> None:
    """Write connections.png, sizes.png and latency.png."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {"connections": _connections, "sizes": _sizes, "latency": _latency}
    for name, drawing in drawings.items():
        figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
        drawing(axes, report["cases"])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        figure.savefig(folder / f"{name}.png", dpi=80, metadata={"Software": None})
        plt.close(figure)
