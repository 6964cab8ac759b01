"""`App`: all that a machine needs to be part of a cluster, in one object."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dqlite_dbapi import Client, Connection, Error, NodeInfo, Role, connect
from dqlite_node.contact import Contact
from dqlite_node.dial import check_advertised
from dqlite_node.errors import ClusterJoinError, NodeError, NodeNotRunningError, NodeStartError
from dqlite_node.files import BOOTSTRAP_IDS
from dqlite_node.level import Level
from dqlite_node.member import JOINING
from dqlite_node.node import Node
from dqlite_node.roles import Targets
from dqlite_node.store import Store
from dqlite_node.tls import TLSFiles
from dqlite_node.upkeep import LOOK_TIMEOUT, Upkeep, hand_over

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

TICK = 0.1  #: seconds between looks until the member is in its cluster and has its role
LEADER_TICK = 0.5
FOLLOWER_TICK = 2.0
CALL_TIMEOUT = 5.0

_log = logging.getLogger("dqlite_node")


class App:
    """One member with everything around it: founding or joining, roles, hand-over, connections.

    Use it as a context manager, or call `start` and `close`. Methods may be called from any
    thread.

    data_dir, address, and node_options: as for `Node`. Programs in Go that use go-dqlite's
        `app` package can share the directory and the cluster.
    cluster: addresses of all members, the same list on every machine. The first time the one
        listed first founds the cluster, unless any of the others names one, and the others
        join. Needed only then. Without it the member founds a cluster of its own.
    voters, standbys: how many there should be, voters odd and at least 3; the same everywhere.
    failure_domain: votes are spread over different ones. weight: a high one makes it unlikely
        that the member gets a role.
    adjust_interval: seconds between looks of the leader at all members; one that has not
        answered for as long is replaced.
    bootstrap: False: never found a cluster; True: found it although not listed first.
    tls: certificates, for peers and clients, and for what the application connects itself.
    client_options: further options for every connection that the application makes.
    """

    def __init__(  # noqa: PLR0913
        self,
        data_dir: str | os.PathLike[str],
        address: str,
        cluster: Iterable[str] = (),
        *,
        voters: int = 3,
        standbys: int = 3,
        failure_domain: int = 0,
        weight: int = 0,
        adjust_interval: float = 10.0,
        bootstrap: bool | None = None,
        tls: TLSFiles | None = None,
        client_options: Mapping[str, Any] | None = None,
        **node_options: Any,
    ) -> None:
        """Nothing is touched before `start`. Raises NodeError for impossible arguments."""
        if isinstance(cluster, str):
            raise NodeError(f"cluster is {cluster!r}", hint="give a list of addresses")
        if adjust_interval <= 0:
            raise NodeError(f"adjust_interval={adjust_interval} is not above 0")
        self._address = check_advertised(address)
        listed = [check_advertised(each) for each in cluster]
        self._peers = [each for each in listed if each != address]
        is_first = not self._peers or listed[0] == address
        self._may_found = is_first if bootstrap is None else bootstrap
        if not self._may_found and not self._peers:
            raise NodeError("a member that is not to found a cluster needs others in cluster")
        self._store = Store(Path(data_dir).absolute())
        self._targets = Targets(voters, standbys)
        self._weight = weight
        self._interval = adjust_interval
        self._options = {**(tls.client_options if tls else {}), **(client_options or {})}
        self._node_options = {
            "failure_domain": failure_domain,
            "join_role": int(Role.SPARE),
            **({"tls": tls} if tls else {}),
            **node_options,
        }
        self._node: Node | None = None
        self._upkeep: Upkeep | None = None
        self._thread: threading.Thread | None = None
        self._contact = Contact(self._addresses, self._options)
        self._ready = threading.Event()
        self._failure: NodeError | None = None
        self._has_founded = False
        self._weighed: int | None = None
        self._level: Level | None = None
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Address under which peers and clients reach this member."""
        return self._address

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data directory."""
        return self._store.directory

    @property
    def node(self) -> Node:
        """This member; NodeNotRunningError before `start`."""
        if self._node is None:
            raise NodeNotRunningError("the application is not started", address=self._address)
        return self._node

    @property
    def id(self) -> int:
        """This member's id; NodeNotRunningError before `start`."""
        return self.node.id

    @property
    def members(self) -> list[NodeInfo]:
        """The members as last seen, from memory; empty before the first look at the cluster."""
        known = self._upkeep.members if self._upkeep else []
        return [member for member in known if member.id]

    @property
    def is_ready(self) -> bool:
        """Whether the member has been in its cluster, with a leader and its role, since start."""
        return self._ready.is_set() and self._failure is None

    @property
    def failure(self) -> NodeError | None:
        """What made the application give up; None while it goes on."""
        return self._failure

    def start(self) -> None:
        """Start the member, or the attempt to join; returns without waiting for the others.

        Raises NodeStartError: the port or directory, another address than before, lost data, or a
        second start.
        """
        with self._lock:
            if self._thread is not None or self._contact.has_ended:
                raise NodeStartError("an application starts once", address=self._address)
            known = [each.address for each in self._store.members()]
            peers = [each for each in self._peers or known if each != self._address]
            cluster = [self._address, *peers] if self._may_found else [*peers, self._address]
            is_member = self._store.is_member
            self._node = Node(
                self._address,
                self.data_dir,
                cluster=cluster if peers and not is_member else None,
                **self._node_options,
            )
            self._node.start()
            self._level = Level(self._node.bind_address) if is_member and peers else None
            self._has_founded = not is_member and self._node.id in BOOTSTRAP_IDS
            if not known:
                listed = [self._address] if self._has_founded else peers
                self._store.write_members([NodeInfo(0, each, 0, False) for each in listed])
            self._thread = threading.Thread(
                target=self._run, name=f"dqlite_node app {self._address}", daemon=True
            )
            self._thread.start()

    def ready(self, timeout: float = 60.0) -> None:
        """Wait until the member is in the cluster and caught up, with a leader and a settled role.

        Raises ClusterJoinError after `timeout` seconds, with what is missing as its hint, or the
        NodeError that ended the attempt.
        """
        if self._thread is None:
            raise NodeNotRunningError("the application is not started", address=self._address)
        is_ready = self._ready.wait(timeout)
        if self._failure is not None:
            raise self._failure
        if not is_ready:
            raise ClusterJoinError(
                f"member {self._address} is {self.node.status} after {timeout} s",
                address=self._address,
                hint="; ".join(self._contact.look(self._addresses(), 1.0).warnings),
            )

    def close(self, handover_timeout: float = 10.0) -> None:
        """Hand over leadership and role as far as others can take them, then stop for good.

        May be repeated. NodeStopError as for `Node.close`. `handover_timeout` in seconds; 0 stops
        at once.
        """
        with self._lock:
            self._contact.end()
            if self._thread is not None:
                self._thread.join(CALL_TIMEOUT)
            if self._node is None:
                return
            if handover_timeout > 0 and self._node.is_running and len(self.members) > 1:
                self._hand_over(self._node, handover_timeout)
            self._node.close(handover=False)

    def connect(self, database: str, **options: Any) -> Connection[Any]:
        """Connect to the leader of this cluster; options as for `dqlite_dbapi.connect`."""
        return connect(self._addresses(), database, **{**self._options, **options})

    def engine(self, database: str, **options: Any) -> Engine:
        """A SQLAlchemy engine for a database of this cluster; options as for `create_engine`."""
        from sqlalchemy import create_engine

        given = options.pop("connect_args", {})
        arguments = {"target": self._addresses(), "database": database, **self._options, **given}
        return create_engine("dqlite+dbapi://", connect_args=arguments, **options)

    def client(self, **options: Any) -> Client:
        """A cluster client for this cluster; options as for `Client`."""
        return Client(self._addresses(), **{**self._options, **options})

    def __enter__(self) -> App:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<App {self._address} in {self._store.directory}>"

    def _addresses(self) -> list[str]:
        """Where to ask for the leader: here, and at the members last known."""
        known = [member.address for member in self.members or self._store.members()]
        return list(dict.fromkeys([self._address, *known, *([] if self.members else self._peers)]))

    def _run(self) -> None:
        try:
            self._keep_up()
        except NodeError as error:
            _log.error("member %s gives up: %s", self._address, error)
            self._failure = error
            with suppress(NodeError):
                self.node.stop(handover=False)
        finally:
            if not self._ready.is_set() and self._failure is None:
                self._failure = NodeNotRunningError("closed before it was ready")
            self._ready.set()

    def _keep_up(self) -> None:
        told = ""
        while self._contact.sleep(self._pause()):
            if self.node.status == JOINING:
                continue
            try:
                self._tick()
            except NodeError:
                raise
            except (Error, OSError) as error:  # OSError: such as a full disk
                reason = error.message if isinstance(error, Error) else str(error)
                if reason != told and not self._contact.has_ended:
                    told = reason
                    _log.warning("member %s: %s", self._address, told)
            else:
                told = ""

    def _tick(self) -> None:
        if self._upkeep is None:
            self._upkeep = Upkeep(
                self._store, self.node.id, self._address, self._targets, self._interval
            )
        with self._contact.client(CALL_TIMEOUT) as client:
            self._weigh(client)
            self._upkeep.tick(client)
        if self._has_founded and not self._upkeep.has_admitted:
            self._watch_for_conflict(self._upkeep)
        if self._upkeep.is_settled and self._has_caught_up(self.node):
            self._ready.set()

    def _has_caught_up(self, node: Node) -> bool:
        """A member that came back has, once it has read what piled up for it."""
        if self._level is None or node.pid is None:
            return self._level is None
        return self._level.look(node.pid)

    def _pause(self) -> float:
        upkeep = self._upkeep
        if upkeep is None or not upkeep.is_settled or not self._ready.is_set():
            return TICK
        return min(LEADER_TICK if upkeep.leads else FOLLOWER_TICK, self._interval)

    def _weigh(self, client: Client) -> None:
        """Tell the engine the weight, which it forgets when it restarts."""
        pid = self.node.pid
        if pid is not None and pid != self._weighed:
            client.weight(self._address, self._weight)
            self._weighed = pid

    def _watch_for_conflict(self, upkeep: Upkeep) -> None:
        """Right after founding, look whether a peer that was down then belongs elsewhere."""
        seen = self._contact.look(self._peers, LOOK_TIMEOUT) if self._peers else None
        with self._contact.client(CALL_TIMEOUT) as client:
            strangers = upkeep.strangers(seen, client.cluster())
        if strangers:
            raise NodeError(
                f"{', '.join(strangers)} belong to another cluster than the one that member"
                f" {self._address} founded",
                address=self._address,
                hint="if theirs is the right one, remove this directory and start again",
            )

    def _hand_over(self, node: Node, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with Client(self._addresses(), timeout=timeout, **self._options) as client:
            timer = threading.Timer(timeout, client.close)
            timer.start()
            try:
                hand_over(client, node.id)
            except Error as error:
                late = " in time" if time.monotonic() >= deadline else ""
                _log.warning("member %s was not handed over%s: %s", self._address, late, error)
            finally:
                timer.cancel()
