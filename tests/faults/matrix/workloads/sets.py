"""Unique inserts, each in a transaction of its own, and reads of how far others have come."""

from __future__ import annotations

import random

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.sets import check_sets
from tests.faults.matrix.workloads.base import Workload
from tests.faults.matrix.workloads.clients import Client

INSERT = "INSERT INTO elements VALUES (?, ?)"
NEWEST = "SELECT coalesce(max(number), 0) FROM elements WHERE process = ?"
READS = 0.15  #: share of operations that read


class SetWorkload(Workload):
    """No row is lost, none is there twice, and a linearizable read misses none."""

    name = "set"
    schema = (
        "CREATE TABLE elements (process INTEGER, number INTEGER)",
        "CREATE INDEX elements_newest ON elements (process, number)",
    )

    def step(self, process: int, client: Client, chance: random.Random) -> None:
        """Insert the client's next number, or read the newest one of another client."""
        if chance.random() < READS:
            asked = chance.randrange(self.clients)
            value = {"process": asked, "number": None}

            def read() -> None:
                [(value["number"],)] = client.read(NEWEST, (asked,))

            self.attempt(process, "newest", value, read)
            return
        row = (process, self.next_number(process))
        self.attempt(
            process,
            "add",
            list(row),
            lambda: client.transaction(lambda db: db.execute(INSERT, row)),
        )

    def judge(self) -> Findings:
        """Compare with the rows that are stored."""
        rows = self.stored("SELECT process, number FROM elements NOT INDEXED")
        return check_sets(self.history.operations, rows)
