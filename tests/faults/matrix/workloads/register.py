"""Registers that clients read, write, and change if they hold what was seen before."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.register import check_registers
from tests.faults.matrix.history import OK, UNKNOWN, Operation
from tests.faults.matrix.workloads.base import CHECKER, Workload
from tests.faults.matrix.workloads.clients import Client

READ = "SELECT value FROM registers WHERE key = ?"
WRITE = "INSERT OR REPLACE INTO registers VALUES (?, ?)"
CAS = "UPDATE registers SET value = ? WHERE key = ? AND value = ?"
TERM = 80  #: operations on a register before another takes its turn
#: Operations on a register after one whose outcome is unknown: each of those doubles the search.
AFTERWARDS = 30


class RegisterWorkload(Workload):
    """Single statements: each takes effect at one moment between its call and its answer."""

    name = "register"
    schema = ("CREATE TABLE registers (key INTEGER PRIMARY KEY, value INTEGER)",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turns = _Turns(max(self.clients // 3, 1))
        self._seen: dict[int, int] = {}

    def step(self, process: int, client: Client, chance: random.Random) -> None:
        """Read, write or change one register."""
        key = self._turns.take(chance)
        kind = chance.choices(("read", "write", "cas"), (5, 2, 3))[0]
        if kind == "read":
            self._read(process, client, key)
            return
        value: dict[str, Any] = {"key": key, "new": self.next_number(process)}
        value["new"] = value["new"] * self.clients + process
        sql, parameters = WRITE, [key, value["new"]]
        if kind == "cas" and key in self._seen:
            value.update(old=self._seen[key], result=None)
            sql, parameters = CAS, [value["new"], key, value["old"]]
        else:
            kind = "write"
        in_transaction = chance.random() < 0.3

        def change() -> None:
            if in_transaction:
                count = client.transaction(lambda db: db.execute(sql, parameters).rowcount)
            else:
                count = client.write(sql, parameters)
            if kind == "cas":
                value["result"] = count == 1

        self.attempt(process, kind, value, change)

    def _read(self, process: int, client: Client, key: int) -> None:
        value: dict[str, Any] = {"key": key, "result": None}

        def read() -> None:
            rows = client.read(READ, (key,))
            value["result"] = rows[0][0] if rows else 0
            if rows:
                self._seen[key] = rows[0][0]

        self.attempt(process, "read", value, read)

    def failed(self, process: int, function: str, value: Any, *rest: Any) -> str:
        """Record an operation that ended with an error."""
        outcome = super().failed(process, function, value, *rest)
        if outcome == UNKNOWN:
            self._turns.hurry(value["key"])
        return outcome

    def judge(self) -> Findings:
        """Read every register once more, and look for an order of all operations."""
        started = time.monotonic()
        stored = dict(self.stored("SELECT key, value FROM registers"))
        ended = time.monotonic()
        keys = {each.value["key"] for each in self.history.operations}
        finals = [
            Operation(
                CHECKER, "read", {"key": key, "result": stored.get(key, 0)}, started, ended, OK
            )
            for key in sorted(keys)
        ]
        return check_registers([*self.history.operations, *finals])


class _Turns:
    """Which registers are in use: a few at a time, each for a number of operations."""

    def __init__(self, width: int) -> None:
        self._left = dict.fromkeys(range(width), TERM)
        self._next = width
        self._lock = threading.Lock()

    def take(self, chance: random.Random) -> int:
        """A register for one operation."""
        with self._lock:
            key = chance.choice(list(self._left))
            self._left[key] -= 1
            if self._left[key] <= 0:
                del self._left[key]
                self._left[self._next] = TERM
                self._next += 1
            return key

    def hurry(self, key: int) -> None:
        """Let this register's turn end soon."""
        with self._lock:
            if key in self._left:
                self._left[key] = min(self._left[key], AFTERWARDS)
