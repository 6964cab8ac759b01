"""Hosts dqlite members from Python: `Node` for one, `LocalCluster` for a few on this machine."""

from __future__ import annotations

from dqlite_dbapi import Client, NodeInfo
from dqlite_node._lib import engine_version, features
from dqlite_node.app import App
from dqlite_node.errors import (
    ClusterError,
    ClusterJoinError,
    ClusterQuorumLostError,
    NodeAlreadyRunningError,
    NodeCrashed,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
    NodeStopError,
)
from dqlite_node.local import LocalCluster
from dqlite_node.node import Node
from dqlite_node.tls import TLSFiles

__all__ = [
    "App",
    "Client",
    "ClusterError",
    "ClusterJoinError",
    "ClusterQuorumLostError",
    "LocalCluster",
    "Node",
    "NodeAlreadyRunningError",
    "NodeCrashed",
    "NodeError",
    "NodeInfo",
    "NodeNotRunningError",
    "NodeStartError",
    "NodeStopError",
    "TLSFiles",
    "engine_version",
    "features",
]
