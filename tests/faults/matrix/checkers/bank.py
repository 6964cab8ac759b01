"""Transfers between accounts: every read is a state of the bank, at a moment within the read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.sets import check_elements
from tests.faults.matrix.history import OK, Operation


class Entry(NamedTuple):
    """A row of the journal, which each transfer writes: entries are in the order of commit."""

    process: int
    number: int
    source: int
    target: int
    amount: int


def check_bank(
    operations: Sequence[Operation],
    initial: Sequence[int],
    journal: Sequence[Entry],
    balances: Sequence[int],
) -> Findings:
    """Judge `transfer` of [process, number, source, target, amount] and `balances` of a list.

    `initial` and `balances`: what each account had at first, and has in the end.
    """
    transfers = {
        (each.value[0], each.value[1]): each for each in operations if each.function == "transfer"
    }
    outcomes = {key: each.outcome for key, each in transfers.items()}
    findings = check_elements(outcomes, [(row.process, row.number) for row in journal])
    for row in journal:
        told = transfers.get((row.process, row.number))
        if told is not None and told.outcome == OK and list(row) != list(told.value):
            findings.anomalies.append(f"{row} was acknowledged as {told.value}")
    states = _states(initial, journal)
    if tuple(balances) != states[-1]:
        findings.anomalies.append(f"balances are {list(balances)}, entries give {states[-1]}")
    for read in operations:
        if read.function == "balances" and read.outcome == OK and sum(read.value) != sum(initial):
            findings.anomalies.append(f"a total of {sum(read.value)} by client {read.process}")
    findings.anomalies.extend(_misread(operations, journal, transfers, states))
    return findings


def _states(initial: Sequence[int], journal: Sequence[Entry]) -> list[tuple[int, ...]]:
    """Balances before the first entry and after each."""
    now, states = list(initial), [tuple(initial)]
    for row in journal:
        now[row.source] -= row.amount
        now[row.target] += row.amount
        states.append(tuple(now))
    return states


def _misread(
    operations: Sequence[Operation],
    journal: Sequence[Entry],
    transfers: Mapping[tuple[int, int], Operation],
    states: Sequence[tuple[int, ...]],
) -> list[str]:
    """Reads that found no state between those that were acknowledged before and begun by then."""
    places = {(row.process, row.number): place for place, row in enumerate(journal, 1)}
    known = [(each, places[key]) for key, each in transfers.items() if key in places]
    ended = sorted((each.ended, place) for each, place in known if each.outcome == OK)
    begun = sorted((each.started, place) for each, place in known)
    oldest = [0, *accumulate((place for _, place in ended), max)]
    newest = [0, *accumulate((place for _, place in begun), max)]
    wrong = []
    for read in operations:
        if read.function != "balances" or read.outcome != OK:
            continue
        low = oldest[bisect_left(ended, (read.started, 0))]
        high = newest[bisect_right(begun, (read.ended, len(states)))]
        if tuple(read.value) not in states[low : high + 1]:
            age = "an old state" if tuple(read.value) in states else "no state of the bank"
            wrong.append(f"client {read.process} read {age}: {read.value}")
    return wrong
