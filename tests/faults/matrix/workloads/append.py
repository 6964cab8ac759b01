"""Transactions that append to several lists and read them, on the server or by the client."""

from __future__ import annotations

import itertools
import random
from typing import Any

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.append import check_append
from tests.faults.matrix.workloads.base import Workload
from tests.faults.matrix.workloads.clients import Client

KEYS = 5  #: lists that are used at a time
TERM = 200  #: transactions after which other lists take their turn, so that they stay short
READ = "SELECT items FROM lists WHERE key = ?"
APPEND = (
    "INSERT INTO lists VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET items = items || ' ' || excluded.items"
)
REPLACE = "INSERT OR REPLACE INTO lists VALUES (?, ?)"


class AppendWorkload(Workload):
    """What transactions saw can be explained by some order of them, one after the other."""

    name = "append"
    schema = ("CREATE TABLE lists (key INTEGER PRIMARY KEY, items TEXT)",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turns = itertools.count()

    def step(self, process: int, client: Client, chance: random.Random) -> None:
        """Run one transaction of up to four steps."""
        first = next(self._turns) // TERM * KEYS
        plan = []
        for _ in range(chance.randint(1, 4)):
            key = first + chance.randrange(KEYS)
            kind = chance.choice(("read", "append", "replace"))
            number = 0 if kind == "read" else self.next_number(process)
            plan.append((kind, key, number * self.clients + process))
        value: list[Any] = [
            ["read" if kind == "read" else "append", key, None if kind == "read" else element]
            for kind, key, element in plan
        ]

        def transact() -> None:
            value[:] = client.transaction(lambda db: list(_steps(db, plan)))

        self.attempt(process, "lists", value, transact)

    def judge(self) -> Findings:
        """Build the graph of transactions and look for cycles."""
        final = {key: _split(items) for key, items in self.stored("SELECT * FROM lists")}
        return check_append(self.history.operations, final)


def _split(items: str) -> list[int]:
    return [int(word) for word in items.split()]


def _steps(connection: Any, plan: list[tuple[str, int, int]]) -> Any:
    """Carry out a plan; what was done and seen, step by step."""
    for kind, key, element in plan:
        if kind == "append":
            connection.execute(APPEND, (key, str(element)))
            yield ["append", key, element]
            continue
        row = connection.execute(READ, (key,)).fetchone()
        items = _split(row[0]) if row is not None else []
        yield ["read", key, items]
        if kind == "replace":
            connection.execute(REPLACE, (key, " ".join(map(str, [*items, element]))))
            yield ["append", key, element]
