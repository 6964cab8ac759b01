"""What all workloads have in common: clients that run until they are stopped, and a verdict."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar, NamedTuple

from dqlite_dbapi import Error, OperationalError, run_transaction
from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.history import FAIL, OK, UNKNOWN, History, Operation
from tests.faults.matrix.workloads.clients import PATIENCE, Client, Target
from tests.faults.matrix.workloads.settlements import settlements

#: Seconds in which clients must end once they are told to; one may wait for a lost COMMIT.
GRACE = PATIENCE + 15.0
REST = 0.05  #: seconds after an error, so that a cluster that is down is not flooded
#: Process number of what `check` itself reads in the end.
CHECKER = -1


class Verdict(NamedTuple):
    """Figures of a run and what is wrong with it; `settled`: COMMITs whose answer was lost.

    `counts` has `operations`, `ok`, `fail`, `unknown` and one count for each class of error.
    """

    counts: dict[str, int]
    lost: list[Any]
    duplicated: list[Any]
    anomalies: list[str]
    settled: int

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.lost or self.duplicated or self.anomalies)


class Workload:
    """Clients, each a thread that calls `step` over and over; subclasses say what that does."""

    name: ClassVar[str]
    schema: ClassVar[tuple[str, ...]] = ()  #: statements that make and fill the tables
    default_client: ClassVar[Callable[..., Any]] = Client

    def __init__(
        self,
        target: Target,
        *,
        seed: int,
        clients: int = 8,
        client_class: Callable[..., Any] | None = None,
    ) -> None:
        self.target = target
        self.history = History()
        self.settled: Counter[bool] = Counter()  #: of lost COMMITs: applied or not
        self.clients = clients
        self._client_class = client_class or self.default_client
        self._numbers = [itertools.count(1) for _ in range(clients)]
        self.randoms = [random.Random(f"{seed} {number}") for number in range(clients)]
        self.stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.surprises: list[str] = []

    # -- what the runner calls

    def setup(self) -> None:
        """Make and fill the tables."""
        with closing(self.target.connect(connect_timeout=30.0)) as connection:
            run_transaction(connection, self._create)

    def start(self) -> None:
        """Start the clients, in the network namespace of the calling thread."""
        for number in range(len(self.randoms)):
            thread = threading.Thread(target=self._live, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Tell the clients to stop and wait for them, `GRACE` seconds at most."""
        self.stopped.set()
        give_up = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(give_up - time.monotonic(), 0.0))
            if thread.is_alive():
                frame = sys._current_frames().get(thread.ident or 0)
                where = "".join(traceback.format_stack(frame)) if frame else ""
                self.surprises.append(
                    f"{thread.name} still runs {GRACE:g} s after the end:\n{where}"
                )

    def check(self) -> Verdict:
        """Judge the run by its history and by what is stored now; the cluster must be well."""
        findings = self.judge()
        operations = self.history.operations
        counts = Counter({OK: 0, FAIL: 0, UNKNOWN: 0})
        counts.update(each.outcome for each in operations)
        counts.update(each.error for each in operations if each.error)
        return Verdict(
            {"operations": len(operations), **counts},
            findings.lost,
            findings.duplicated,
            self.surprises + findings.anomalies,
            self.settled.total(),
        )

    # -- what a workload is

    def make_client(self) -> Any:
        """What a client's thread works with."""
        return self._client_class(self.target)

    def step(self, process: int, client: Any, chance: random.Random) -> None:
        """Run one operation by `attempt`."""
        raise NotImplementedError

    def judge(self) -> Findings:
        """Compare the history with what is stored in the end."""
        raise NotImplementedError

    # -- helpers

    def _create(self, connection: Any) -> None:
        for statement in self.schema:
            connection.execute(statement)

    def next_number(self, process: int) -> int:
        """1, 2, 3 and so on for each client."""
        return next(self._numbers[process])

    def attempt(self, process: int, function: str, value: Any, work: Any) -> Any:
        """Run `work()`, record what became of it and return its result, None after an error.

        `value` is what is recorded; `work` may put results into it.
        """
        started = time.monotonic()
        try:
            result = work()
        except Exception as error:
            self.failed(process, function, value, started, error)
            self.stopped.wait(REST)
            return None
        self.history.record(Operation(process, function, value, started, time.monotonic(), OK))
        return result

    def failed(
        self, process: int, function: str, value: Any, started: float, error: BaseException
    ) -> str:
        """Record an operation that ended with an error; faults excuse `OperationalError` only.

        Returns the outcome.
        """
        known = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's errors
        outcome = FAIL if isinstance(known, Error) and not known.is_ambiguous else UNKNOWN
        if not isinstance(known, OperationalError):
            self.surprises.append(f"{function} by client {process}: {error!r}")
        name = type(known).__name__
        ended = time.monotonic()
        self.history.record(Operation(process, function, value, started, ended, outcome, name))
        return outcome

    def stored(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows as they are in the end; asked again while the cluster recovers."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                with closing(self.target.connect(timeout=30.0)) as connection:
                    return connection.execute(sql, consistency="linearizable").fetchall()
            except Error as error:
                if not error.is_retryable or time.monotonic() > give_up:
                    raise
            time.sleep(0.2)

    def _live(self, process: int) -> None:
        with self.observed(f"client {process}"):
            client = None
            while not self.stopped.is_set():
                try:
                    client = client or self.make_client()
                    self.step(process, client, self.randoms[process])
                except Error:  # of connecting
                    self.stopped.wait(REST)
            if client is not None:
                with suppress(Error):
                    client.close()

    @contextmanager
    def observed(self, who: str) -> Iterator[None]:
        """For the life of a thread: count what is settled, and note what ends it early."""
        try:
            with settlements(self.settled):
                yield
        except Exception as error:
            self.surprises.append(f"{who} ended: {error!r}")
