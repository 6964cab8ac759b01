"""Cycles in graphs of transactions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TypeAlias

#: Edges: successors of each node, each with the kind of the edge.
Graph: TypeAlias = Mapping[int, Mapping[int, str]]


def cycles(graph: Graph, kinds: frozenset[str]) -> Iterator[list[int]]:
    """A short cycle of edges of these kinds for each group of nodes that reach each other."""
    for group in _groups(graph, kinds):
        yield _shortest(graph, kinds, group)


def _next(graph: Graph, kinds: frozenset[str], node: int) -> list[int]:
    return [each for each, kind in graph.get(node, {}).items() if kind in kinds]


def _groups(graph: Graph, kinds: frozenset[str]) -> Iterator[set[int]]:
    """Strongly connected components of two nodes or more (Tarjan's, without recursion)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    for root in graph:
        if root in order:
            continue
        work = [(root, iter(_next(graph, kinds, root)))]
        order[root] = low[root] = len(order)
        path.append(root)
        on_path.add(root)
        while work:
            node, successors = work[-1]
            for each in successors:
                if each not in order:
                    order[each] = low[each] = len(order)
                    path.append(each)
                    on_path.add(each)
                    work.append((each, iter(_next(graph, kinds, each))))
                    break
                if each in on_path:
                    low[node] = min(low[node], order[each])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    group = {path.pop()}
                    while node not in group:
                        group.add(path.pop())
                    on_path -= group
                    if len(group) > 1:
                        yield group


def _shortest(graph: Graph, kinds: frozenset[str], group: set[int]) -> list[int]:
    """A shortest cycle through the lowest node of a group; it ends with the node it began with."""
    start = min(group)
    came_from: dict[int, int] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for each in _next(graph, kinds, node):
            if each == start:
                path = [start, node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if each in group and each not in came_from:
                came_from[each] = node
                queue.append(each)
    raise ValueError(f"{start} is on no cycle")
