"""Hosts dqlite members from Python: `Node` for one, `LocalCluster` for a few on this machine."""

from __future__ import annotations

from dqlite_dbapi import Client, NodeInfo
from dqlite_node._lib import engine_version, features
from dqlite_node.errors import (
    NodeAlreadyRunningError,
    NodeCrashed,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
    NodeStopError,
)
from dqlite_node.local import LocalCluster
from dqlite_node.node import Node

__all__ = [
    "Client",
    "LocalCluster",
    "Node",
    "NodeAlreadyRunningError",
    "NodeCrashed",
    "NodeError",
    "NodeInfo",
    "NodeNotRunningError",
    "NodeStartError",
    "NodeStopError",
    "engine_version",
    "features",
]
