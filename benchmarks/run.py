"""`make bench`: starts its own members, lets all contestants take turns, prints medians and ratios.

The machine is never quiet: compare ratios of one run, not figures of two.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dqlite_dbapi
from benchmarks import contestants, figures, goals
from benchmarks.cases import CASES, Case, Turn, chosen
from benchmarks.worlds import Arena, Arenas, Places, Process, Reply, World
from dqlite_node import NodeError, engine_version
from tests.support import engines

QUICK_ROUNDS = 2
#: Left out of --quick unless --case names them.
SLOW = ("-pinned", "-disk", "-100", "stream-1000000", "stream-10000000", "callback", "-newest")


class Round:
    """One case: its processes, and what they answered, by label."""

    def __init__(self, case: Case, arenas: dict[World, Arena], ready: dict[str, Any]) -> None:
        self._case = case
        self._arenas = arenas
        self._ready = ready
        self._databases = {
            world: arenas[world].database(case.rows, case.blob)
            for world in {turn.world for turn in case.turns}
        }
        self._processes: dict[tuple[str, World], Process] = {}
        self.replies: dict[str, list[Reply]] = {}
        self.errors: dict[str, str] = {}

    def _process(self, turn: Turn) -> Process:
        key = turn.contestant, turn.world
        if key not in self._processes:
            contestant = self._ready[turn.contestant]
            process = self._arenas[turn.world].start(contestant, self._databases[turn.world])
            self._processes[key] = process
            if "in memory" in turn.contestant:
                process.order("prepare", self._case.rows, self._case.blob)
        return self._processes[key]

    def turn(self, turn: Turn, n: int) -> None:
        """Let one contestant work; after an error it takes part in this case no more."""
        if turn.label in self.errors or turn.contestant not in self._ready:
            return
        reply = self._process(turn).order(turn.operation, n, self._case.m)
        if "error" in reply:
            self.errors[turn.label] = reply["error"]
        else:
            self.replies.setdefault(turn.label, []).append(reply)
        if self._case.fresh:
            self.close()

    def close(self) -> None:
        """End the processes."""
        while self._processes:
            self._processes.popitem()[1].close()


def measure(case: Case, arenas: Arenas, ready: dict[str, Any], rounds: int, quick: bool) -> Any:
    """Run one case in rounds, each in an order of its own; its summary."""
    n = max(1, case.n // 10) if quick and case.shrinks else case.n
    there = arenas.need({turn.world for turn in case.turns})
    state = Round(case, there, ready)
    try:
        for number in range(max(1, round(rounds * case.share))):
            # Who comes before leaves its mark on caches and memory: not always the same one.
            for turn in random.Random(number).sample(case.turns, len(case.turns)):
                state.turn(turn, n)
    finally:
        state.close()
    return figures.summarise(case, state.replies, state.errors)


def _engine() -> str:
    """What the package says, where there is one: the library's own number lags behind."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", "libdqlite0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return engine_version()


def _machine(places: Places) -> dict[str, Any]:
    return {
        "engine": _engine(),
        "engines": list(engines.at_hand()),
        "kernel": platform.release(),
        "processors": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "driver": f"{dqlite_dbapi.__version__}, rows by {dqlite_dbapi.accelerator}",
        "data": str(places.memory.parent),
        "taken": time.strftime("%Y-%m-%d"),
    }


def _possible(cases: Iterable[Case]) -> list[Case]:
    """Cases whose engine is at hand."""
    there = engines.at_hand()
    return [case for case in cases if all(turn.world.engine in there for turn in case.turns)]


@click.command()
@click.option("--case", "patterns", multiple=True, help="Only cases whose key begins so.")
@click.option("--list", "listing", is_flag=True, help="Print the keys of the cases.")
@click.option("--rounds", default=10, show_default=True, help="Turns of each contestant.")
@click.option("--quick", is_flag=True, help="Few rounds of less work: under a minute, and rough.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Measure others too.")
@click.option("--directory", default="/dev/shm", show_default=True, help="Where the data lies.")  # noqa: S108
@click.option("--disk", help="Where it lies in the cases about disks. [default: .benchmarks]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--plots", type=click.Path(path_type=Path), help="Draw PNG files into this folder.")
@click.option("--page", type=click.Path(path_type=Path), help="Renew the tables of this page.")
def main(
    patterns: tuple[str, ...],
    listing: bool,
    rounds: int,
    quick: bool,
    peers: bool,
    directory: str,
    disk: str | None,
    json_path: Path | None,
    plots: Path | None,
    page: Path | None,
) -> None:
    """Measure the floor, the peers and the driver against members that this command starts."""
    if listing:
        click.echo("\n".join(f"{case.key:24}{case.title}" for case in CASES))
        return
    cases = _possible(chosen(patterns))
    if quick:
        rounds = min(rounds, QUICK_ROUNDS)
        cases = [case for case in cases if patterns or not any(s in case.key for s in SLOW)]
    if not cases:
        raise click.UsageError("no such case; --list shows them")
    left_out = () if peers else contestants.FOREIGN
    names = {turn.contestant for case in cases for turn in case.turns} - set(left_out)
    contestants.BUILT.mkdir(exist_ok=True)
    ready, absent = contestants.build([name for name in contestants.NAMES if name in names])
    console = Console(width=None if sys.stdout.isatty() else 150)
    with (
        TemporaryDirectory(dir=directory) as memory,
        TemporaryDirectory(dir=disk or contestants.BUILT) as on_disk,
    ):
        places = Places(Path(memory), Path(on_disk))
        machine = _machine(places)
        summary = _measure_all(cases, places, ready, rounds, quick)
    report = {
        "machine": machine,
        "absent": absent,
        "cases": summary,
        "goals": goals.results(summary),
    }
    _show(console, report)
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _publish(report, page, plots)


def _measure_all(
    cases: list[Case], places: Places, ready: dict[str, Any], rounds: int, quick: bool
) -> figures.Summary:
    """Every case in turn; one that fails is told of, and Ctrl-C keeps what was measured so far."""
    errors = Console(stderr=True)
    summary: figures.Summary = {}
    arenas = Arenas(places)
    try:
        for number, case in enumerate(cases, start=1):
            start = time.perf_counter()
            try:
                summary[case.key] = measure(case, arenas, ready, rounds, quick)
            except (dqlite_dbapi.Error, NodeError, OSError) as error:
                summary[case.key] = figures.summarise(case, {}, {"all": str(error)})
            took = time.perf_counter() - start
            errors.print(f"{number}/{len(cases)} {case.title}: {took:.0f} s")
    except KeyboardInterrupt:
        errors.print("stopped; what was measured so far follows")
    finally:
        arenas.close()
    return summary


def _publish(report: dict[str, Any], page: Path | None, plots: Path | None) -> None:
    if page is not None:
        from benchmarks.page import update

        update(page, report)
    if plots is not None:
        try:
            from benchmarks.plots import draw
        except ImportError as error:
            raise click.ClickException(f"{error}: pip install -e .[bench]") from error
        draw(report, plots)


def _show(console: Console, report: dict[str, Any]) -> None:
    console.print(figures.render(report["cases"]))
    console.print(goals.render(report["goals"]))
    for name, reason in report["absent"].items():
        console.print(f"absent: {name}: {reason}")
    console.print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))


if __name__ == "__main__":
    main()
