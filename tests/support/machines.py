"""Machines of a cluster that is started as the clustering guide says."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dqlite_node import Client, Node, NodeInfo
from dqlite_node.local import reserve_port
from tests.support.engines import Engine


class Machines:
    """Addresses with a directory each, and nodes that are closed at the end."""

    def __init__(self, count: int, folder: Path, engine: Engine, stack: ExitStack) -> None:
        ports = [stack.enter_context(reserve_port()).getsockname()[1] for _ in range(count)]
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.folders = [folder / f"machine{number}" for number in range(count)]
        self.nodes: list[Node] = []
        self._engine = engine
        self._stack = stack

    def node(self, number: int, *arguments: Any, **options: Any) -> Node:
        """A node of that machine, listing all addresses unless told otherwise; not started."""
        if not arguments:
            options = {"cluster": self.addresses, **options}
        options = {"launcher": self._engine.launcher, **options}
        address, folder = self.addresses[number], str(self.folders[number])
        node = Node(address, folder, *arguments, **options)
        self._stack.callback(node.close, handover=False)
        self.nodes.append(node)
        return node

    def up(self, **options: Any) -> list[Node]:
        """Start a node on each machine, and wait until they are one cluster."""
        for number in range(len(self.addresses)):
            self.node(number, **options).start()
        for node in self.nodes:
            node.wait_ready(20)
        return self.nodes

    def members(self) -> list[NodeInfo]:
        """What the leader knows."""
        with Client(self.addresses) as client:
            return client.cluster()
