"""Elements that are inserted once each: lost, duplicated, back from the dead, or read too late."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.history import FAIL, OK, Operation


def check_elements(outcomes: Mapping[Any, str], stored: Iterable[Any]) -> Findings:
    """Compare what became of each element with the elements that are stored, repeats and all.

    An acknowledged one is there once, one that failed for certain is not, and one whose outcome is
    unknown is there once at most.
    """
    found = Counter(stored)
    lost = sorted(e for e, outcome in outcomes.items() if outcome == OK and e not in found)
    duplicated = sorted(element for element, count in found.items() if count > 1)
    anomalies = [
        f"{element} failed for certain and is there"
        for element, outcome in outcomes.items()
        if outcome == FAIL and element in found
    ]
    anomalies += [
        f"{element} is there and nobody wrote it" for element in found.keys() - outcomes.keys()
    ]
    return Findings(lost, duplicated, anomalies)


def check_sets(operations: Sequence[Operation], stored: Iterable[tuple[int, int]]) -> Findings:
    """Judge `add` of [process, number], and `newest` of {"process", "number"}.

    Each process adds rising numbers. `newest` is the highest number of a process that was read; it
    must be at least what that process had acknowledged before the read began.
    """
    adds = [each for each in operations if each.function == "add"]
    outcomes = {(each.value[0], each.value[1]): each.outcome for each in adds}
    findings = check_elements(outcomes, stored)
    findings.anomalies.extend(_late_reads(operations))
    return findings


def _late_reads(operations: Sequence[Operation]) -> list[str]:
    """Reads that missed what was acknowledged before they began, or saw what was not begun."""
    moments = []
    for place, each in enumerate(operations):
        if each.outcome == OK or each.function == "add":
            moments.append((each.started, 0, place))
        if each.outcome == OK:
            moments.append((each.ended, 1, place))
    acknowledged: dict[int, int] = defaultdict(int)
    begun: dict[int, int] = defaultdict(int)
    expected: dict[int, int] = {}
    wrong = []
    for _, is_end, place in sorted(moments):
        each = operations[place]
        if each.function == "add":
            process, number = each.value
            side = acknowledged if is_end else begun
            side[process] = max(side[process], number)
        elif not is_end:
            expected[place] = acknowledged[each.value["process"]]
        else:
            process, number = each.value["process"], each.value["number"]
            if number < expected[place]:
                wrong.append(
                    f"stale read: {number} of client {process} by client {each.process}, when"
                    f" {expected[place]} had been acknowledged"
                )
            if number > begun[process]:
                wrong.append(f"a read of {number} of client {process} before it was written")
    return wrong
