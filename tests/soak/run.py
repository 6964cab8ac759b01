"""A soak: `python -m tests.soak.run --minutes 30`, see `make soak`.

Three members and one client process under churn: a pool, fresh connections, asyncio with
cancellations, SQLAlchemy, health checks; leadership moves every 20 s and a member restarts or dies
every 60 s. The members' engine is the newest at hand; 1.11 crashes under such churn (hazard H37),
and is started again. A line of figures is printed each minute; the run fails if one of them grew
beyond the bounds in `tests.soak.figures` once it has warmed up, from the first to the last quarter.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import random
import sys
import time

from dqlite_dbapi import Client, Error
from dqlite_node import LocalCluster
from dqlite_node.errors import NodeError
from tests.soak.figures import Meter, Minute, Sample, growth, sample
from tests.soak.workload import Load, prepare
from tests.support import engines

_TURN = 20.0
_CRASHES = 1000  #: within a minute, that are answered by a new start
_LINE = "{:>6} {:>7} {:>6} {:>7} {:>8}   {:>8} {:>4} {:>4}   {}"


def disturb(cluster: LocalCluster, turn: int) -> str:
    """Move leadership, or every third time stop or kill a member and start it again."""
    number = random.randrange(len(cluster.members))
    try:
        if turn % 3 != 2:
            with Client(cluster.addresses, timeout=10.0) as client:
                client.transfer(cluster.members[number].id)
            return f"lead {number}"
        if turn % 2:
            cluster.restart(number)
            return f"restart {number}"
        cluster.kill(number)
        time.sleep(1)
        cluster.restart(number)
    except (Error, NodeError) as error:
        if not cluster.members[number].is_running:
            cluster.members[number].start()
        return type(error).__name__
    return f"kill {number}"


def measure(cluster: LocalCluster, meter: Meter) -> Minute:
    """The figures now, and of the operations since the last time."""
    gc.collect()
    client = sample(os.getpid())
    if client is None:
        raise RuntimeError("/proc is needed")
    return Minute(*meter.take(), client, tuple(sample(node.pid) for node in cluster.members))


def show(number: int, minute: Minute) -> None:
    """Print one line."""

    def short(each: Sample | None) -> str:
        return f"{each.rss:g}/{each.fds}/{each.threads}" if each else "down"

    members = "  ".join(map(short, minute.members))
    latency = f"{minute.p50:.2f}", f"{minute.p99:.1f}"
    print(
        _LINE.format(number, minute.operations, minute.errors, *latency, *minute.client, members),
        flush=True,
    )


def soak(minutes: float, seed: int, engine: str = engines.SYSTEM) -> list[str]:
    """Run it; the sentences about what grew."""
    random.seed(seed)
    meter, found = Meter(), []
    launcher = engines.named(engine).launcher
    with LocalCluster(3, launcher=launcher, restart=_CRASHES) as cluster:
        prepare(cluster.addresses)
        load = Load(cluster.addresses, meter)
        load.start()
        try:
            print(_LINE.format("minute", "ops", "errors", "p50 ms", "p99 ms", "RSS MiB", "fds",
                               "thr", "members: RSS/fds/threads"), flush=True)  # fmt: skip
            start = time.monotonic()
            turns = itertools.count(1)
            for number in range(1, max(round(minutes), 1) + 1):
                end = start + number * min(minutes, 1.0) * 60
                while time.monotonic() < end:
                    time.sleep(min(_TURN, max(end - time.monotonic(), 0)))
                    if end - time.monotonic() > _TURN / 2:
                        disturb(cluster, next(turns))
                found.append(measure(cluster, meter))
                show(number, found[-1])
        finally:
            load.stop()
    print("errors:", dict(meter.all_errors.most_common()))
    return growth(found)


def main() -> int:
    """1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    newest = engines.newest().name
    parser.add_argument("--engine", default=newest, help=f"of the members; default: {newest}")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes, engine {options.engine}", flush=True)
    grown = soak(options.minutes, options.seed, options.engine)
    print("\n".join(grown) or "nothing grew beyond its bound")
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
