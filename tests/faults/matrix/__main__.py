"""`python -m tests.faults.matrix`: workloads under faults; see docs/how-to/faults.md."""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.matrix.faults import FAULTS
from tests.faults.matrix.links import HOW
from tests.faults.matrix.report import line, table, write_page
from tests.faults.matrix.runner import chosen_slice, pairs, plan, run_all
from tests.faults.matrix.workloads import WORKLOADS
from tests.support.engines import named, newest

SECONDS, SLICE_SECONDS = 60.0, 10.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("--engine", default=newest().name, help="of the members; default: newest")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), metavar="W")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), metavar="F")
    parser.add_argument("--slice", action="store_true", help="a fixed choice: each fault once")
    parser.add_argument("--seconds", type=float, help=f"of each pair; {SECONDS:g} by default")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--lanes", type=int, default=1, help="pairs at a time")
    parser.add_argument("--report", type=Path, metavar="DIR", help="for page, histories and logs")
    return parser.parse_args()


def main() -> int:
    """Run the chosen pairs; 1 if one of them failed."""
    given = _arguments()
    named(given.engine)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped: pairs that run come to their end"))
    folder = given.report or Path(tempfile.mkdtemp(prefix="matrix-report-"))
    folder.mkdir(parents=True, exist_ok=True)
    chosen = chosen_slice() if given.slice else pairs(given.workload or WORKLOADS,
                                                      given.fault or FAULTS)  # fmt: skip
    seconds = given.seconds or (SLICE_SECONDS if given.slice else SECONDS)
    trials = plan(
        chosen,
        engine=given.engine,
        seconds=seconds,
        clients=given.clients,
        seed=given.seed,
        folder=folder.absolute(),
    )
    header = (
        f"engine {given.engine}, seed {given.seed}, {len(trials)} pairs of {seconds:g} s,"
        f" {given.clients} clients, {given.lanes} at a time on {os.cpu_count()} processors;"
        f" Python {platform.python_version()}, Linux {platform.release()}\n"
        f"members in network namespaces; {HOW}"
    )
    print(header, flush=True)
    started, results = time.monotonic(), []
    for result in run_all(trials, given.lanes):
        results.append(result)
        print(line(result), flush=True)
    results.sort(key=lambda result: result.pair.port)
    failed = sum(not result.passed for result in results)
    end = f"{len(results) - failed} passed, {failed} failed in {time.monotonic() - started:.0f} s"
    write_page(folder / "index.html", f"{header}\n{end}", results)
    print(f"\n{table(results)}\n\n{end}; seed {given.seed}; report: {folder / 'index.html'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
