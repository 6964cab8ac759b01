"""Runs pairs of a workload and a fault, each on fresh members, in processes side by side."""

from __future__ import annotations

import logging
import multiprocessing
import random
import statistics
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.matrix.faults import FAULTS
from tests.faults.matrix.rig import Rig, running_rig
from tests.faults.matrix.workloads import WORKLOADS, Target, Verdict
from tests.faults.replicas import replicas_agree
from tests.support.engines import named

DATABASE = "matrix"
FIRST_PORT = 9001
CALM = 1.0  #: seconds at the end in which nothing hurts


@dataclass(frozen=True)
class Pair:
    """A trial to be run; `seed` is its own, `folder` where its history and its log are kept."""

    workload: str
    fault: str
    engine: str
    seconds: float
    clients: int
    seed: int
    port: int
    folder: Path

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.workload} {self.fault}".replace(" ", "-")

    @property
    def history(self) -> Path:
        """JSON lines of its operations."""
        return self.folder / f"{self.name}.jsonl"


@dataclass
class Result:
    """What became of a pair; `bands` and `began` in seconds of the monotonic clock."""

    pair: Pair
    began: float = 0.0
    took: float = 0.0
    bands: list[tuple[float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdict: Verdict | None = None
    gaps: list[float] = field(default_factory=list)
    agree: bool = False
    crashes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong: crashes that a restart answered are counted only."""
        judged = self.verdict is not None and self.verdict.passed
        return judged and self.agree and not self.problems

    @property
    def gap(self) -> tuple[float, float]:
        """Median and longest time without an acknowledged operation after a fault, in seconds."""
        return (statistics.median(self.gaps), max(self.gaps)) if self.gaps else (0.0, 0.0)

    def count(self, name: str) -> int:
        """A count of the verdict, 0 without one."""
        return self.verdict.counts.get(name, 0) if self.verdict is not None else 0

    def found(self, name: str) -> list[Any]:
        """`lost`, `duplicated` or `anomalies` of the verdict."""
        return getattr(self.verdict, name) if self.verdict is not None else []


def pairs(workloads: Iterable[str], faults: Iterable[str]) -> list[tuple[str, str]]:
    """Every workload with every fault."""
    kinds = list(workloads)
    return [(workload, fault) for fault in faults for workload in kinds]


def chosen_slice() -> list[tuple[str, str]]:
    """Each fault once, and each workload several times."""
    kinds = list(WORKLOADS)
    return [(kinds[number % len(kinds)], fault) for number, fault in enumerate(FAULTS)]


def plan(
    chosen: Iterable[tuple[str, str]],
    *,
    engine: str,
    seconds: float,
    clients: int,
    seed: int,
    folder: Path,
) -> list[Pair]:
    """Trials with a seed of their own each, which depends on `seed` and their names only."""
    return [
        Pair(
            workload,
            fault,
            engine,
            seconds,
            clients,
            random.Random(f"{seed} {workload} {fault}").getrandbits(32),
            FIRST_PORT + number,
            folder,
        )
        for number, (workload, fault) in enumerate(chosen)
    ]


def run_all(trials: list[Pair], lanes: int) -> Iterator[Result]:
    """Run them, `lanes` at a time; results as they come."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(lanes, mp_context=context) as pool:
        try:
            for done in as_completed([pool.submit(run_pair, trial) for trial in trials]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def run_pair(pair: Pair) -> Result:
    """Run one on members of its own; whatever goes wrong is among its problems."""
    result, started = Result(pair), time.monotonic()
    fault_class = FAULTS[pair.fault]
    with _logged(pair), tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        try:
            with running_rig(
                Path(folder),
                fault_class.first_engine(named(pair.engine)),
                count=fault_class.hosts,
                voters=fault_class.voters,
                port=pair.port,
                needs=fault_class.needs,
            ) as rig:
                try:
                    _run_on(rig, result)
                finally:
                    rig.close()  # members can also crash while they stop
                    result.crashes = rig.crashes
        except Exception as error:
            result.problems.append(f"{error!r}\n{traceback.format_exc(limit=-4)}")
    result.took = time.monotonic() - started
    return result


def _run_on(rig: Rig, result: Result) -> None:
    pair = result.pair
    fault = FAULTS[pair.fault](rig, pair.seed)
    workload = WORKLOADS[pair.workload](
        Target(rig.addresses, DATABASE, rig.options), seed=pair.seed, clients=pair.clients
    )
    workload.setup()
    result.began = time.monotonic()
    workload.start()
    try:
        fault.run(pair.seconds)
        time.sleep(CALM)
    except Exception as error:
        result.problems.append(f"{error!r}\n{traceback.format_exc(limit=-4)}")
    finally:
        fault.heal()
        workload.stop()
        workload.history.save(pair.history)
        result.bands, result.notes = fault.bands, fault.notes
        result.gaps = workload.history.gaps([began for began, _ in fault.bands])
    result.verdict = workload.check()
    with rig.client(30.0) as client:
        result.agree = replicas_agree(rig.addresses, DATABASE, client)
    rig.wait_well()


@contextmanager
def _logged(pair: Pair) -> Iterator[None]:
    """Keep what the members' hosts say in a file."""
    handler = logging.FileHandler(pair.folder / f"{pair.name}.log", delay=True)
    handler.setFormatter(logging.Formatter("%(relativeCreated)d %(levelname)s %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()
