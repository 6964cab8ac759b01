"""Transactions that append to lists and read them: which orders could explain what they saw?

An operation is a list of steps, `["append", key, element]` and `["read", key, elements]`, in one
transaction. Elements are unique, so that a read tells which versions of a list came before it, and
who wrote them: that gives a graph of transactions, and a cycle in it is an anomaly (Adya; Elle).

    ww  the writer of a version -> the writer of the next one
    wr  the writer of a version -> who read it
    rw  who read a version -> the writer of the next one
    rt  a transaction that had ended -> one that began afterwards
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.graphs import cycles
from tests.faults.matrix.history import FAIL, OK, Operation

#: Cycles of these edges are called so; each level is looked at where those before found nothing.
LEVELS = {
    "G0": frozenset({"ww"}),
    "G1c": frozenset({"ww", "wr"}),
    "G2": frozenset({"ww", "wr", "rw"}),
    "not in real time": frozenset({"ww", "wr", "rw", "rt"}),
}
_STRENGTH = {"ww": 0, "wr": 1, "rw": 2, "rt": 3}


class Read(NamedTuple):
    """What transaction `reader` saw of `key` that is not its own; `writes` it afterwards or not."""

    reader: int
    key: int
    elements: list[int]
    writes: bool


class _Lists:
    """The transactions of a history, by what they wrote and read."""

    def __init__(self, operations: Sequence[Operation], final: Mapping[int, list[int]]) -> None:
        self.operations = operations
        self.final = final
        self.writer: dict[tuple[int, int], int] = {}
        self.last: dict[tuple[int, int], int] = {}  #: last element by transaction and key
        self.reads: list[Read] = []
        self.wrong: list[str] = []
        for number, operation in enumerate(operations):
            self._take(number, operation)
        self.orders = {key: list(elements) for key, elements in final.items()}
        for read in self.reads:
            if len(read.elements) > len(self.orders.get(read.key, ())):
                self.orders[read.key] = read.elements

    def _take(self, number: int, operation: Operation) -> None:
        own: dict[int, list[int]] = defaultdict(list)
        appended = {key for function, key, _ in operation.value if function == "append"}
        for function, key, value in operation.value:
            if function == "append":
                own[key].append(value)
                self.writer[key, value] = number
                self.last[number, key] = value
            elif operation.outcome == OK:
                split = len(value) - len(own[key])
                if value[max(split, 0) :] != own[key]:
                    self.wrong.append(f"{_named(operation)} read {value}, not its own {own[key]}")
                else:
                    writes = key in appended and not own[key]
                    self.reads.append(Read(number, key, value[:split], writes))


def check_append(operations: Sequence[Operation], final: Mapping[int, list[int]]) -> Findings:
    """Judge operations named `lists`; `final`: the lists that are stored in the end."""
    lists = _Lists([each for each in operations if each.function == "lists"], final)
    lost, duplicated = _elements(lists)
    anomalies = [*lists.wrong, *_orders(lists), *_dirty(lists), *_lost_updates(lists)]
    graph = _graph(lists)
    found: set[int] = set()
    for level, kinds in LEVELS.items():
        for cycle in cycles(graph, kinds):
            if found.isdisjoint(cycle):
                anomalies.append(f"{level}: {_told(lists, graph, cycle)}")
            found.update(cycle)
    return Findings(lost, duplicated, anomalies)


def _named(operation: Operation) -> str:
    return f"the transaction of client {operation.process} at {operation.started:.3f}"


def _elements(lists: _Lists) -> tuple[list[Any], list[Any]]:
    """Acknowledged elements that no final list has, and those that some list has twice."""
    stored = {(key, each) for key, elements in lists.final.items() for each in elements}
    lost = [
        [key, element]
        for (key, element), number in lists.writer.items()
        if lists.operations[number].outcome == OK and (key, element) not in stored
    ]
    duplicated = []
    for key, order in lists.orders.items():
        seen: set[int] = set()
        for element in order:
            if element in seen:
                duplicated.append([key, element])
            seen.add(element)
    return lost, duplicated


def _orders(lists: _Lists) -> Iterator[str]:
    """Lists and reads that are no beginning of the longest one of their key."""
    for key, order in lists.orders.items():
        if order != lists.final.get(key, []):
            yield f"incompatible order: list {key} is {lists.final.get(key)} and was {order}"
    for read in lists.reads:
        if read.elements != lists.orders.get(read.key, [])[: len(read.elements)]:
            yield (
                f"incompatible order: {_named(lists.operations[read.reader])} read"
                f" {read.elements} of list {read.key}, which is {lists.orders[read.key]}"
            )


def _dirty(lists: _Lists) -> Iterator[str]:
    """G1a: read from a transaction that was not applied. G1b: from the middle of one."""
    finals = [Read(-1, key, elements, False) for key, elements in lists.final.items()]
    told: set[tuple[int, int]] = set()
    for reader, key, elements, _ in (*lists.reads, *finals):
        for element in elements:
            writer = lists.writer.get((key, element))
            if writer == reader:
                yield f"list {key} was read as {elements} by the later writer of {element}"
            failed = writer is not None and lists.operations[writer].outcome == FAIL
            if (writer is None or failed) and (key, element) not in told:
                told.add((key, element))
                what = "that nobody wrote" if writer is None else "that failed for certain"
                yield f"G1a: list {key} has {element}, {what}"
        writer = lists.writer.get((key, elements[-1])) if elements else None
        if writer is not None and writer != reader and lists.last[writer, key] != elements[-1]:
            yield f"G1b: list {key} was read as {elements}, in the middle of a transaction"


def _lost_updates(lists: _Lists) -> Iterator[str]:
    """Two transactions that read the same version of a list and both wrote to it."""
    first: dict[tuple[int, int], int] = {}
    for read in lists.reads:
        if read.writes:
            version = (read.key, len(read.elements))
            other = first.setdefault(version, read.reader)
            if other != read.reader:
                one, two = (_named(lists.operations[each]) for each in (other, read.reader))
                yield f"lost update: {one} and {two} both followed {read.elements[-3:]}"


def _graph(lists: _Lists) -> dict[int, dict[int, str]]:
    graph: dict[int, dict[int, str]] = {n: {} for n in range(len(lists.operations))}

    def edge(kind: str, before: int | None, after: int | None) -> None:
        if before is not None and after is not None and before != after:
            known = graph[before].get(after, kind)
            graph[before][after] = min(kind, known, key=_STRENGTH.__getitem__)

    for key, order in lists.orders.items():
        for before, after in pairwise(order):
            edge("ww", lists.writer.get((key, before)), lists.writer.get((key, after)))
    for reader, key, elements, _ in lists.reads:
        order = lists.orders[key] if elements else lists.orders.get(key, [])
        if elements:
            edge("wr", lists.writer.get((key, elements[-1])), reader)
        if elements == order[: len(elements)] and len(order) > len(elements):
            edge("rw", reader, lists.writer.get((key, order[len(elements)])))
    for before, after in _in_real_time(lists):
        edge("rt", before, after)
    return graph


def _in_real_time(lists: _Lists) -> Iterator[tuple[int, int]]:
    """Pairs that give the order of transactions that ended before others began, without detours."""
    applied = {lists.writer.get((key, e)) for key, order in lists.orders.items() for e in order}
    moments = []
    for number, each in enumerate(lists.operations):
        if each.outcome == OK or number in applied:
            moments.append((each.started, 0, number))
        if each.outcome == OK:
            moments.append((each.ended, 1, number))
    ended: set[int] = set()
    before: dict[int, set[int]] = {}
    for _, is_end, number in sorted(moments):
        if is_end:
            ended -= before.pop(number)
            ended.add(number)
        else:
            before[number] = set(ended)
            yield from ((other, number) for other in ended)


def _told(lists: _Lists, graph: Mapping[int, Mapping[int, str]], cycle: Sequence[int]) -> str:
    """A cycle in words: each transaction and the edge to the next one."""
    steps = [
        f"{lists.operations[before].value} by client {lists.operations[before].process}"
        f" -{graph[before][after]}->"
        for before, after in pairwise(cycle)
    ]
    return " ".join(steps)
