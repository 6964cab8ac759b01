"""`make bench`: starts its own members, measures in turns, prints medians and ratios.

Data lies on tmpfs (/dev/shm) unless --directory names another place. The machine is never quiet:
compare ratios of one run, not figures of two.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.cases import Sample, inserts, queries
from dqlite_node import LocalCluster, features


def summarise(samples: Iterable[Sample]) -> dict[str, dict[str, dict[str, float]]]:
    """Median and 99th percentile in ms, by case and contestant."""
    collected: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        by_contestant = collected.setdefault(sample.case, {})
        by_contestant.setdefault(sample.contestant, []).append(sample.seconds * 1000)
    return {
        case: {
            contestant: {
                "count": len(found),
                "p50_ms": statistics.median(found),
                "p99_ms": statistics.quantiles(found, n=100)[98],
            }
            for contestant, found in by_contestant.items()
        }
        for case, by_contestant in collected.items()
    }


def render(summary: dict[str, dict[str, dict[str, float]]]) -> Table:
    """A table whose ratios are to the first contestant of each case."""
    table = Table("case", "contestant", "samples", "p50 ms", "p99 ms", "p50 ratio")
    for case, contestants in summary.items():
        base = next(iter(contestants.values()))["p50_ms"]
        for contestant, figures in contestants.items():
            table.add_row(
                case,
                contestant,
                f"{figures['count']:.0f}",
                f"{figures['p50_ms']:.3f}",
                f"{figures['p99_ms']:.3f}",
                f"{figures['p50_ms'] / base:.2f}",
            )
    return table


@click.command()
@click.option("--rounds", default=30, show_default=True, help="Turns of each contestant.")
@click.option("--directory", default="/dev/shm", show_default=True, help="Where the data lies.")  # noqa: S108
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
def main(rounds: int, directory: str, json_path: Path | None) -> None:
    """Measure the driver on clusters of three members."""
    samples: list[Sample] = []
    with (
        tempfile.TemporaryDirectory(dir=directory) as top,
        LocalCluster(3, directory=Path(top) / "ours") as ours,
    ):
        samples += queries(ours, rounds * 10)
        with LocalCluster(3, directory=Path(top) / "theirs", dialer="engine") as theirs:
            samples += inserts(ours, theirs, rounds // 5)
    summary = summarise(samples)
    machine = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "engine": {name: bool(has) for name, has in features().items()},
    }
    console = Console()
    console.print(render(summary))
    console.print(f"Python {machine['python']}, kernel {machine['kernel']}, data in {directory}")
    if json_path is not None:
        json_path.write_text(json.dumps({"machine": machine, "cases": summary}, indent=2) + "\n")


if __name__ == "__main__":
    main()
