"""What the cancellation trials run and count: operations for both drivers, jobs, the ledger."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

from dqlite_dbapi import Error, NotSupportedError, connect
from dqlite_node import LocalCluster

SEED = int(os.environ.get("DQLITE_CANCEL_SEED", str(random.SystemRandom().getrandbits(32))))
FROZEN = 0.03  #: seconds for which the member stands still
INSERT = "INSERT INTO t VALUES (?)"
LONG = "WITH RECURSIVE c(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM c LIMIT 3000) SELECT n FROM c"

Steps: TypeAlias = Generator[Any, Any, None]


class Job:
    """What one operation is to write, and what it may have written."""

    def __init__(self, numbers: Iterator[int], connect: Callable[..., Any]) -> None:
        self.rows = list(itertools.islice(numbers, random.randint(1, 8)))
        self.connect = connect
        self.made: list[Any] = []  #: connections of its own
        self.is_deciding = False  #: a call has begun that makes rows durable
        self.keeps = True  #: success means that the rows are there
        self.is_whole = True  #: all rows are there or none is
        self.verdict = "absent"

    def judge(self, error: BaseException | None) -> None:
        """Say what must have become of the rows: `present`, `absent` or `unknown`."""
        is_certain = isinstance(error, Error) and not error.is_ambiguous and self.is_whole
        if error is None:
            self.verdict = "present" if self.keeps else "absent"
        elif self.is_deciding and not is_certain:
            self.verdict = "unknown"

    def check(self, counts: Counter[int]) -> None:
        """Compare with how often each row is in the table."""
        found = [counts[row] for row in self.rows]
        present = sum(found)
        assert max(found) <= 1, f"{self.rows} are there {found} times"
        if self.verdict == "present":
            assert present == len(found), f"{self.rows}: acknowledged, and {found} are there"
        elif self.verdict == "absent":
            assert present == 0, f"{self.rows}: not applied for certain, and {found} are there"
        elif self.is_whole:
            assert present in (0, len(found)), f"{self.rows}: {found} are there, a part"
        else:
            assert found == sorted(found, reverse=True), f"{self.rows}: {found}, with a gap"


# --- operations -----------------------------------------------------------------------------------
# Each yields what it called: the result itself, or with asyncio what is to be awaited for it.


def _begin(connection: Any) -> Steps:
    if connection.autocommit:
        yield connection.execute("BEGIN IMMEDIATE")


def write(connection: Any, job: Job) -> Steps:
    """One INSERT, committed by itself or by `commit`."""
    del job.rows[1:]
    job.is_deciding = connection.autocommit
    yield connection.execute(INSERT, job.rows)
    job.is_deciding = True
    yield connection.commit()


def write_returning(connection: Any, job: Job) -> Steps:
    """One INSERT that gives its row back."""
    del job.rows[1:]
    job.is_deciding = connection.autocommit
    cursor = yield connection.execute(f"{INSERT} RETURNING id", job.rows)
    assert (yield cursor.fetchall()) == [(job.rows[0],)]
    job.is_deciding = True
    yield connection.commit()


def write_many(connection: Any, job: Job) -> Steps:
    """`executemany`, of which autocommit keeps each row by itself."""
    job.is_deciding = connection.autocommit
    job.is_whole = not connection.autocommit
    cursor = yield connection.executemany(INSERT, [(row,) for row in job.rows])
    assert cursor.rowcount == len(job.rows)
    job.is_deciding = True
    yield connection.commit()


def transaction(connection: Any, job: Job) -> Steps:
    """Several statements and a commit, with a long result that is left half read.

    No long one where the server would stay locked by a client that went away meanwhile.
    """
    yield from _begin(connection)
    for row in job.rows:
        yield connection.execute(INSERT, (row,))
    query = LONG if connection.server.flavour.clean_drop else "SELECT ?"
    cursor = yield connection.execute(query, (0,))
    assert (yield cursor.fetchone()) == (0,)
    job.is_deciding = True
    yield connection.commit()


def script(connection: Any, job: Job) -> Steps:
    """A script with its own BEGIN and COMMIT."""
    inserts = [f"INSERT INTO t VALUES ({row});" for row in job.rows]
    job.is_deciding = True
    yield connection.executescript("\n".join(["BEGIN;", *inserts, "COMMIT;"]))


def undo(connection: Any, job: Job) -> Steps:
    """Several statements and a rollback."""
    job.keeps = False
    yield from _begin(connection)
    for row in job.rows:
        yield connection.execute(INSERT, (row,))
    yield connection.rollback()


def long_read(connection: Any, job: Job) -> Steps:
    """A result of several messages, read in pieces and perhaps not to its end."""
    job.keeps = False
    first = job.rows[0]
    cursor = yield connection.execute(LONG, (first,))
    rows = yield cursor.fetchmany(random.randint(1, 2000))
    if random.random() < 0.5:
        rows += yield cursor.fetchall()
        assert len(rows) == 3000
    assert rows == [(first + n,) for n in range(len(rows))]
    yield cursor.close()


def linearizable_read(connection: Any, job: Job) -> Steps:
    """A read that a quorum confirms."""
    job.keeps = False
    cursor = yield connection.execute("SELECT ?", job.rows[:1], consistency="linearizable")
    assert (yield cursor.fetchall()) == [(job.rows[0],)]


def fresh_connection(connection: Any, job: Job) -> Steps:
    """A connection made for one write."""
    del job.rows[1:]
    timeout = connection.timeout
    made = yield job.connect(timeout=timeout, connect_timeout=timeout)
    job.made.append(made)
    job.is_deciding = True
    yield made.execute(INSERT, job.rows)
    yield made.close()


OPERATIONS = (write, write_returning, write_many, transaction, script, undo, long_read)
OPERATIONS += (linearizable_read, fresh_connection)


# --- the fuzz -------------------------------------------------------------------------------------


class Fuzz:
    """Random trials on two connections of one driver, and what they came to."""

    def __init__(self, driver: str, database: str, member: LocalCluster) -> None:
        self.driver = driver
        self.database = database
        self.addresses = member.addresses
        self.numbers = itertools.count(1)
        self.member = member
        self.jobs: list[Job] = []
        self.hits = 0
        self.spans: dict[str, float] = defaultdict(lambda: 0.005)  # seconds by operation
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.neighbours: Counter[str] = Counter()
        random.seed(SEED)
        print(f"\n{driver}: seed {SEED}")

    def job(self, connect: Callable[..., Any]) -> Job:
        self.jobs.append(Job(self.numbers, connect))
        return self.jobs[-1]

    def delay(self, operation: str) -> float:
        """Seconds after which to interrupt: mostly before it would be done."""
        return random.uniform(0, 1.1 * self.spans[operation])

    def learn(self, operation: str, seconds: float) -> None:
        self.spans[operation] += (seconds - self.spans[operation]) / 4

    def note(self, way: str, job: Job, error: BaseException | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, Error | asyncio.TimeoutError):
            raise error
        job.judge(error)
        self.hits += not isinstance(error, NotSupportedError | None)
        self.outcomes[way][type(error).__name__ if error is not None else "finished"] += 1

    def note_neighbour(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, Error):
            raise error
        self.neighbours[type(error).__name__ if error is not None else "answered right"] += 1

    @contextmanager
    def frozen_after(self, delay: float) -> Iterator[None]:
        """Let the member stand still for a while, beginning in `delay` seconds."""

        def freeze() -> None:
            self.member.pause(0)
            time.sleep(FROZEN)
            self.member.resume(0)

        timer = threading.Timer(delay, freeze)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def check_rows(self) -> None:
        with closing(connect(self.addresses, self.database)) as connection:
            rows = connection.execute("SELECT id, count(*) FROM t GROUP BY id").fetchall()
        counts = Counter(dict(rows))
        for job in self.jobs:
            job.check(counts)
        assert set(counts) <= {row for job in self.jobs for row in job.rows}

    def show(self, seconds: float) -> None:
        print(f"{self.driver}: {self.hits} of {len(self.jobs)} operations hit in {seconds:.1f} s")
        for way, counts in sorted(self.outcomes.items()):
            print(f"  {way:24} {_listed(counts)}")
        print(f"  {'neighbours':24} {_listed(self.neighbours)}")
        verdicts = Counter(job.verdict for job in self.jobs if job.keeps)
        print(f"  {'writes':24} {_listed(verdicts)}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
