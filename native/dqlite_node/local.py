"""`LocalCluster`: several members on this machine's loopback, for tests, demos and benchmarks."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from dqlite_dbapi import Client, Health
from dqlite_node.errors import ClusterError, NodeError
from dqlite_node.node import POLL, Node

HOST = "127.0.0.1"
_PATIENCE = 10.0


def reserve_port(port: int = 0) -> socket.socket:
    """Bind a loopback port (0: a free one) without listening, so that nobody else is given it.

    The engine can still listen there, since both sides set SO_REUSEADDR.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reservation.bind((HOST, port))
    except BaseException:
        reservation.close()
        raise
    return reservation


class LocalCluster:
    """`n` voters on 127.0.0.1, a process each; start and close it as a context manager.

    Members are numbered from 0 and have the ids 1 to n.
    """

    def __init__(
        self,
        n: int = 3,
        *,
        directory: str | os.PathLike[str] | None = None,
        ports: Sequence[int] | None = None,
        in_process: bool = False,
        **node_options: Any,
    ) -> None:
        """Nothing is started yet; NodeError for the wrong number of ports.

        Further keywords go to each `Node`, with `restart=0`: one that crashed stays down.

        directory: parent of the members' data directories; a temporary one, removed by `close`,
            if omitted. ports: `n` of them; free ones, kept reserved until `close`, if omitted.
        """
        with ExitStack() as stack:
            if ports is None:
                held = [stack.enter_context(reserve_port()) for _ in range(n)]
                ports = [reservation.getsockname()[1] for reservation in held]
            if len(ports) != n:
                raise NodeError(f"{n} members need {n} ports, not {len(ports)}")
            if directory is None:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="dqlite-"))
            self.members: list[Node] = []  #: the members, running or not
            for number, port in enumerate(ports, start=1):
                node = Node(
                    f"{HOST}:{port}",
                    Path(directory) / f"member{number}",
                    number,
                    in_process=in_process,
                    **{"restart": 0, **node_options},
                )
                self.members.append(node)
            self._resources = stack.pop_all()
        tls = node_options.get("tls")
        self._options = {} if tls is None else tls.client_options

    @property
    def addresses(self) -> list[str]:
        """Addresses of all members."""
        return [member.address for member in self.members]

    def start(self) -> None:
        """Start every member, then make voters of those that are not yet in the cluster.

        Returns when all of them know that. Raises NodeStartError, ClusterError, or the cluster
        client's errors; everything is closed then.
        """
        try:
            self._all(Node.start)
            self._admit(self.members[1:])
            self._await_agreement(_PATIENCE)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop every member and remove what is temporary; may be called again."""
        with self._resources:
            self._all(lambda member: member.close(handover=False))

    def wait_leader(self, timeout: float = _PATIENCE) -> str:
        """Address of the leader; waits for one and raises `NoLeader` after `timeout` seconds."""
        with Client(self.addresses, timeout=timeout, **self._options) as client:
            return client.leader()

    def leader_index(self, timeout: float = _PATIENCE) -> int:
        """Number of the leading member; waits like `wait_leader`."""
        return self.addresses.index(self.wait_leader(timeout))

    def kill(self, index: int) -> None:
        """End a member's process with SIGKILL; NodeNotRunningError."""
        self.members[index].kill()

    def stop(self, index: int) -> None:
        """Stop a member in order: a leader hands over first."""
        self.members[index].stop()

    def restart(self, index: int) -> None:
        """Stop a member if it runs, and start it again from its directory."""
        if self.members[index].is_running:
            self.members[index].stop()
        self.members[index].start()

    def pause(self, index: int) -> None:
        """Freeze a member's process; NodeNotRunningError."""
        self.members[index].pause()

    def resume(self, index: int) -> None:
        """Let a paused member go on; NodeNotRunningError."""
        self.members[index].resume()

    def heal(self, timeout: float = _PATIENCE) -> None:
        """Undo kill, stop and pause, and changes of role: all are voters and follow one leader.

        Raises like `start`, but closes nothing; ClusterError if they do not agree after `timeout`
        seconds.
        """
        for member in self.members:
            if member.is_running:
                member.resume()
        self._all(lambda member: None if member.is_running else member.start())
        self._admit(self.members)
        self._await_agreement(timeout)

    def _await_agreement(self, timeout: float) -> None:
        """Wait until each member follows the leader and knows all voters; else ClusterError.

        One that has not heard of the leader yet may still start an election, and one that does not
        know a voter yet may make a spare of it when it is elected, although the leader has answered
        that it is one (libdqlite 1.11).
        """
        deadline = time.monotonic() + timeout
        with Client(self.addresses, **self._options) as client:
            while not self._agree(client.health()):
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"the members do not agree on leader and voters after {timeout} s"
                    )
                time.sleep(POLL)

    def _agree(self, health: Health) -> bool:
        told = {(each.follows, each.knows_voters) for each in health.members}
        return health.is_healthy and told == {(health.leader, len(self.members))}

    def _admit(self, members: Sequence[Node]) -> None:
        with Client(self.addresses, **self._options) as client:
            for member in members:
                client.add(member.id, member.address)

    def _all(self, action: Callable[[Node], None]) -> None:
        with ThreadPoolExecutor(len(self.members)) as pool:
            pending = [pool.submit(action, member) for member in self.members]
        for result in pending:
            result.result()

    def __enter__(self) -> LocalCluster:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
