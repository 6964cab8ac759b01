"""Transfers between accounts, each with an entry in a journal, and reads of all balances."""

from __future__ import annotations

import random
from typing import Any

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.bank import Entry, check_bank
from tests.faults.matrix.workloads.base import Workload
from tests.faults.matrix.workloads.clients import Client

ACCOUNTS = 8
INITIAL = 100
BALANCE = "SELECT balance FROM accounts WHERE id = ?"
BALANCES = "SELECT balance FROM accounts ORDER BY id"
CHANGE = "UPDATE accounts SET balance = balance + ? WHERE id = ?"
NOTE = "INSERT INTO journal VALUES (?, ?, ?, ?, ?)"


class BankWorkload(Workload):
    """The total is the same in every read, and each read is a state that the bank was in."""

    name = "bank"
    schema = (
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)",
        "CREATE TABLE journal (process, number, source, target, amount)",
        *(f"INSERT INTO accounts VALUES ({each}, {INITIAL})" for each in range(ACCOUNTS)),
    )

    def step(self, process: int, client: Client, chance: random.Random) -> None:
        """Transfer something, or read all balances, in one statement or in a transaction."""
        kind = chance.random()
        if kind < 0.7:
            self._transfer(process, client, chance)
            return
        value: list[int] = []

        def read_at_once() -> None:
            value[:] = [balance for (balance,) in client.read(BALANCES)]

        def read_one_by_one() -> None:
            value[:] = client.transaction(
                lambda db: [_balance(db, each) for each in range(ACCOUNTS)]
            )

        self.attempt(process, "balances", value, read_at_once if kind < 0.9 else read_one_by_one)

    def _transfer(self, process: int, client: Client, chance: random.Random) -> None:
        source, target = chance.sample(range(ACCOUNTS), 2)
        wanted = chance.randint(1, 20)
        value = [process, self.next_number(process), source, target, None]

        def move(connection: Any) -> int:
            amount = min(wanted, _balance(connection, source))
            connection.execute(CHANGE, (-amount, source))
            connection.execute(CHANGE, (amount, target))
            connection.execute(NOTE, (*value[:4], amount))
            return amount

        def transfer() -> None:
            value[4] = client.transaction(move)

        self.attempt(process, "transfer", value, transfer)

    def judge(self) -> Findings:
        """Compare with the journal and the balances in the end."""
        journal = [Entry(*row) for row in self.stored("SELECT * FROM journal ORDER BY rowid")]
        balances = [balance for (balance,) in self.stored(BALANCES)]
        return check_bank(self.history.operations, [INITIAL] * ACCOUNTS, journal, balances)


def _balance(connection: Any, account: int) -> int:
    [(balance,)] = connection.execute(BALANCE, (account,)).fetchall()
    return int(balance)
