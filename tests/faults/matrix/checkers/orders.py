"""Orders with lines that are taken out of a stock: whole, once each, and nothing vanishes."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.sets import check_elements
from tests.faults.matrix.history import OK, Operation

STOCK = 1_000_000  #: of each item at first


def check_orders(
    operations: Sequence[Operation],
    orders: Sequence[tuple[int, int, int, int]],
    total: int,
    initial: int,
) -> Findings:
    """Judge `add` of [process, number, size] and `read` of {"left", "lines", "uneven"}.

    `orders`: process, number, size and how many lines there are, as stored in the end; `total`:
    what is left in stock then, and all lines; `initial`: what was in stock at first.
    """
    adds = [each for each in operations if each.function == "add"]
    outcomes = {(each.value[0], each.value[1]): each.outcome for each in adds}
    findings = check_elements(outcomes, [(process, number) for process, number, _, _ in orders])
    for process, number, size, lines in orders:
        if size != lines:
            findings.anomalies.append(f"order {process, number} has {lines} lines of {size}")
    if total != initial:
        findings.anomalies.append(f"stock and lines are {total} in the end, not {initial}")
    for read in operations:
        if read.function == "read" and read.outcome == OK:
            seen = read.value
            if seen["left"] + seen["lines"] != initial or seen["uneven"]:
                findings.anomalies.append(f"client {read.process} read {seen}, of {initial}")
    return findings
