"""Cycles in graphs, against a search that just tries."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.matrix.checkers.graphs import cycles

NODES = st.integers(0, 7)
GRAPHS = st.dictionaries(
    NODES, st.dictionaries(NODES, st.sampled_from(["ww", "wr"]), max_size=3), max_size=8
)


def reachable(graph, kinds, start):
    found, left = set(), [start]
    while left:
        for each, kind in graph.get(left.pop(), {}).items():
            if kind in kinds and each not in found:
                found.add(each)
                left.append(each)
    return found


@settings(deadline=None)
@given(GRAPHS, st.sampled_from([frozenset({"ww"}), frozenset({"ww", "wr"})]))
def test_each_group_has_a_cycle(graph, kinds):
    graph = {node: {n: k for n, k in edges.items() if n != node} for node, edges in graph.items()}
    on_cycles = {node for node in graph if node in reachable(graph, kinds, node)}
    found = list(cycles(graph, kinds))
    for cycle in found:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(graph[before][after] in kinds for before, after in pairwise(cycle))
    groups = {frozenset(reachable(graph, kinds, node)) & on_cycles for node in on_cycles}
    starts = {cycle[0] for cycle in found}
    assert starts <= on_cycles
    assert all(
        any(node in reachable(graph, kinds, start) and start in reachable(graph, kinds, node)
            for start in starts)
        for node in on_cycles
    )  # fmt: skip
    assert len(starts) == len(found) <= len(groups)


def test_a_long_path_needs_no_recursion():
    graph = {node: {node + 1: "ww"} for node in range(20_000)}
    assert list(cycles(graph, frozenset({"ww"}))) == []
    graph[20_000] = {0: "ww"}
    [cycle] = cycles(graph, frozenset({"ww"}))
    assert len(cycle) == 20_002
