"""Is a history of registers linearizable? A search for an order of the operations, key by key.

Operations are `read` {"key", "result"}, `write` {"key", "new"} and `cas` {"key", "old", "new",
"result"}; a register holds 0 at first. Each takes effect at one moment between its start and its
end. One that failed for certain takes none; a write whose outcome is unknown may take effect at any
time after its start, or never.

The search puts operations in order one by one: the next may be any that began before all those that
are left have ended (Wing & Gong). It never looks twice at the same set of operations and the same
value (Lowe), so histories of few clients and some hundred operations a key take no time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.history import FAIL, OK, UNKNOWN, Operation

#: Situations that are looked at for one key before the search is given up.
MOST = 1_000_000
_ABSENT = object()


class _Step(NamedTuple):
    """An operation as the search sees it; `ended` is infinite where the outcome is unknown."""

    operation: Operation
    started: float
    ended: float

    @property
    def is_certain(self) -> bool:
        return self.ended < math.inf

    def apply(self, value: int) -> Any:
        """The register's value afterwards; `_ABSENT` if the step cannot follow, or is idle."""
        function, told = self.operation.function, self.operation.value
        if function == "write":
            return told["new"]
        if function == "read":
            return value if told["result"] == value else _ABSENT
        matches = told["old"] == value
        if not self.is_certain:
            return told["new"] if matches else _ABSENT
        if matches is not bool(told["result"]):
            return _ABSENT
        return told["new"] if matches else value


def check_registers(operations: Sequence[Operation]) -> Findings:
    """Judge each key by itself; what cannot be judged within `MOST` situations counts as wrong."""
    by_key: dict[int, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.outcome != FAIL and not (each.function == "read" and each.outcome == UNKNOWN):
            by_key[each.value["key"]].append(each)
    anomalies = []
    for key, own in by_key.items():
        complaint = explain(own)
        if complaint:
            anomalies.append(f"register {key}: {complaint}")
    return Findings([], [], anomalies)


def explain(operations: Sequence[Operation]) -> str:
    """Why the operations on one register cannot be put in order; empty when they can."""
    steps = _steps(operations)
    certain = sum(1 << n for n, step in enumerate(steps) if step.is_certain)
    seen: set[tuple[int, int]] = {(0, 0)}
    best, best_value = 0, 0
    work = [(0, 0, _choices(steps, 0))]
    while work:
        done, value, choices = work[-1]
        if done & certain == certain:
            return ""
        if len(seen) > MOST:
            return f"not judged, more than {MOST} situations"
        for number in choices:
            after = steps[number].apply(value)
            situation = (done | 1 << number, after)
            if after is not _ABSENT and situation not in seen:
                seen.add(situation)
                if (situation[0] & certain).bit_count() > (best & certain).bit_count():
                    best, best_value = situation
                work.append((*situation, _choices(steps, situation[0])))
                break
        else:
            work.pop()
    stuck = [_told(steps[number]) for number in _choices(steps, best)]
    return f"not linearizable: with the value {best_value} none can follow of {', '.join(stuck)}"


def _steps(operations: Sequence[Operation]) -> list[_Step]:
    """In the order of their starts, without unknown writes that cannot matter.

    Those that nobody can have noticed: no read and no `cas` met their value, and no `cas` failed,
    which might be their doing.
    """
    noticed = {each.value.get("result") for each in operations if each.function == "read"}
    noticed |= {each.value["old"] for each in operations if each.function == "cas"}
    any_failed = any(e.function == "cas" and e.value["result"] is False for e in operations)
    steps = []
    for each in operations:
        ended = each.ended if each.outcome == OK else math.inf
        if each.outcome == OK or any_failed or each.value["new"] in noticed:
            steps.append(_Step(each, each.started, ended))
    return sorted(steps, key=lambda step: step.started)


def _choices(steps: Sequence[_Step], done: int) -> Iterator[int]:
    """Steps that may come next; those that need not come at all last."""
    missing = ~done & ((1 << len(steps)) - 1)
    limit = math.inf
    required: list[int] = []
    optional: list[int] = []
    while missing:
        number = (missing & -missing).bit_length() - 1
        missing &= missing - 1
        step = steps[number]
        if step.started > limit:
            break
        limit = min(limit, step.ended)
        (required if step.is_certain else optional).append(number)
    required.sort(key=lambda number: steps[number].ended)
    return iter(required + optional)


def _told(step: _Step) -> str:
    operation = step.operation
    until = f"{step.ended:.6f}" if step.is_certain else "unknown"
    return f"{operation.function} {operation.value} [{step.started:.6f}, {until}]"
