"""Every error under the names of the clustering guide; they are one tree, and `Error` its root."""

from __future__ import annotations

from dqlite_dbapi.errors import ClientClosed as ClientClosedError
from dqlite_dbapi.errors import ClientError
from dqlite_dbapi.errors import ConnectionLost as ClientConnectionError
from dqlite_dbapi.errors import Error as DqliteError
from dqlite_dbapi.errors import NoLeader as NoLeaderError
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

__all__ = [
    "ClientClosedError",
    "ClientConnectionError",
    "ClientError",
    "ClusterError",
    "ClusterJoinError",
    "ClusterQuorumLostError",
    "DqliteError",
    "NoLeaderError",
    "NodeAlreadyRunningError",
    "NodeCrashed",
    "NodeError",
    "NodeNotRunningError",
    "NodeStartError",
    "NodeStopError",
]
