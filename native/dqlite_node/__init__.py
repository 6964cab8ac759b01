"""Hosts dqlite members from Python: `Node` for one, `LocalCluster` for a few on this machine.

Names are loaded on first use, so that pytest can load the plugin at next to no cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dqlite_dbapi import Client, NodeInfo
    from dqlite_node._lib import engine_version, features, is_recommended
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
else:
    _MODULES = {
        **dict.fromkeys(("Client", "NodeInfo"), "dqlite_dbapi"),
        **dict.fromkeys(("engine_version", "features", "is_recommended"), "dqlite_node._lib"),
        "App": "dqlite_node.app",
        "LocalCluster": "dqlite_node.local",
        "Node": "dqlite_node.node",
        "TLSFiles": "dqlite_node.tls",
    }

    def __getattr__(name):
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module 'dqlite_node' has no attribute {name!r}")
        value = getattr(import_module(_MODULES.get(name, "dqlite_node.errors")), name)
        globals()[name] = value
        return value


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
    "is_recommended",
]
