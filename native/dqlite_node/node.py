"""`Node`: one member of a cluster, as a state machine around a host of its own per start."""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from types import TracebackType

from dqlite_node import files
from dqlite_node.dial import check_advertised
from dqlite_node.errors import (
    NodeAlreadyRunningError,
    NodeCrashed,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
)
from dqlite_node.host import Facts, Host, Settings
from dqlite_node.process import Child

MAX_ID = 2**64 - 1
MAX_LATENCY_MS = 3_600_000
MIN_TRAILING = 4
DIALERS = ("own", "engine")

_log = logging.getLogger("dqlite_node")


class State(Enum):
    """What a `Node` is; starting and stopping hold its lock, so nobody else sees them."""

    STOPPED = "stopped"
    RUNNING = "running"
    CRASHED = "crashed"
    CLOSED = "closed"


#: (call, state) -> the state after it, or the error that it raises.
TRANSITIONS: dict[tuple[str, State], State | type[NodeError]] = {
    ("start", State.STOPPED): State.RUNNING,
    ("start", State.CRASHED): State.RUNNING,
    ("start", State.RUNNING): NodeAlreadyRunningError,
    ("start", State.CLOSED): NodeStartError,
    ("stop", State.STOPPED): State.STOPPED,
    ("stop", State.CRASHED): State.STOPPED,
    ("stop", State.RUNNING): State.STOPPED,
    ("stop", State.CLOSED): State.CLOSED,
    ("close", State.STOPPED): State.CLOSED,
    ("close", State.CRASHED): State.CLOSED,
    ("close", State.RUNNING): State.CLOSED,
    ("close", State.CLOSED): State.CLOSED,
    ("kill", State.STOPPED): NodeNotRunningError,
    ("kill", State.CRASHED): NodeNotRunningError,
    ("kill", State.RUNNING): State.STOPPED,
    ("kill", State.CLOSED): NodeNotRunningError,
    ("signal", State.STOPPED): NodeNotRunningError,
    ("signal", State.CRASHED): NodeNotRunningError,
    ("signal", State.RUNNING): State.RUNNING,
    ("signal", State.CLOSED): NodeNotRunningError,
    ("rebind", State.STOPPED): State.STOPPED,
    ("rebind", State.CRASHED): State.CRASHED,
    ("rebind", State.RUNNING): NodeAlreadyRunningError,
    ("rebind", State.CLOSED): State.CLOSED,
}


@cache
def _warn_of_old_engine(version: str) -> None:
    _log.warning(
        "libdqlite %s has known ways to lose or corrupt data: use it for development only, "
        "and 1.18.6 or later in production",
        version,
    )


class Node:
    """One member of a dqlite cluster, hosted in a child process of its own.

    Methods may be called from any thread in any order; none is safe in a process forked from the
    one that made the node.
    """

    def __init__(  # noqa: PLR0913
        self,
        address: str,
        data_dir: str | os.PathLike[str],
        node_id: int | None = None,
        *,
        bind_address: str | None = None,
        network_latency_ms: int = 20,
        failure_domain: int = 0,
        snapshot_params: tuple[int, int] | None = None,
        connect_timeout: float = 2.0,
        start_timeout: float = 30.0,
        stop_timeout: float = 10.0,
        in_process: bool = False,
        launcher: Sequence[str] = (),
        dialer: str = "own",
    ) -> None:
        """Nothing is touched before `start`. Raises NodeError for impossible arguments.

        address: `host:port` or `[ipv6]:port` under which peers and clients reach the member; it
            is kept in the data directory and must stay.
        data_dir: made with mode 0700 if missing; one directory per member.
        node_id: 1 makes an empty directory a cluster of its own. Omitted: the id kept in the
            directory, else a random one, for a member that is to join.
        bind_address: where to listen, by default `address`; names are resolved.
        network_latency_ms: one-way; elections start after 15 to 30 of it.
        snapshot_params: entries after which to snapshot, and entries to keep (at least 4 and no
            fewer than the first).
        connect_timeout, start_timeout, stop_timeout: seconds, for one dialled peer address, and
            for the child process to be up and down.
        in_process: host the member in this process, which libdqlite may then abort.
        launcher: words before the Python interpreter of the child, such as another loader.
        dialer: `engine` leaves libdqlite's own, slow TCP in place; for measurements only.
        """
        if node_id is not None and not 0 < node_id <= MAX_ID:
            raise NodeError(f"node_id {node_id} is not between 1 and {MAX_ID}")
        if not 0 < network_latency_ms <= MAX_LATENCY_MS:
            raise NodeError(f"network_latency_ms is not between 1 and {MAX_LATENCY_MS}")
        if snapshot_params and snapshot_params[1] < max(MIN_TRAILING, snapshot_params[0]):
            raise NodeError("snapshot_params: the second is below 4 or below the first")
        if dialer not in DIALERS:
            raise NodeError(f"dialer {dialer!r} is none of {', '.join(DIALERS)}")
        self._address = check_advertised(address)
        self._data_dir = Path(data_dir).absolute()
        self._id = node_id
        self._bind_address = bind_address or address
        self._network_latency_ms = network_latency_ms
        self._failure_domain = failure_domain
        self._snapshot_params = snapshot_params
        self._connect_timeout = connect_timeout
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._in_process = in_process
        self._launcher = tuple(launcher)
        self._dialer = dialer
        self._lock = threading.RLock()
        self._state = State.STOPPED
        self._host: Host | Child | None = None
        self._facts: Facts | None = None
        self._crash: NodeCrashed | None = None

    @property
    def id(self) -> int:
        """Member id; NodeStartError if the directory's kept one contradicts."""
        with self._lock:
            if self._id is None:
                self._id = files.choose_id(self._data_dir, None)
            return self._id

    @property
    def address(self) -> str:
        """Address under which peers and clients reach the member."""
        return self._address

    @property
    def bind_address(self) -> str:
        """Where the member listens, numeric while it runs, else as it was given."""
        facts = self._facts
        return facts.bind_address if facts else self._bind_address

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data directory."""
        return self._data_dir

    @property
    def is_running(self) -> bool:
        """Whether the member was started and its process lives (it may be paused)."""
        host = self._host
        return host is not None and host.is_alive

    @property
    def pid(self) -> int | None:
        """Process that hosts the member; None unless it runs."""
        host = self._host
        return host.pid if host is not None and host.is_alive else None

    @property
    def crash(self) -> NodeCrashed | None:
        """How the member's process ended by itself; None if it did not since the last start."""
        with self._lock:
            self._observe()
            return self._crash

    def set_bind_address(self, address: str) -> None:
        """Listen elsewhere from the next start on; NodeAlreadyRunningError while running."""
        with self._move("rebind"):
            self._bind_address = address

    def start(self) -> None:
        """Start the member and wait until it listens; it need not be in a cluster yet.

        Raises NodeAlreadyRunningError, NodeStartError (port, directory, identity; also after
        `close`), NodeCrashed if its process died.
        """
        with self._move("start"):
            host = self._new_host()
            facts = self._facts = host.start()
            self._host = host
            self._crash = None
            self._finalizer = weakref.finalize(self, host.abandon)
        if not facts.engine_recommended:
            _warn_of_old_engine(facts.engine_version)

    def stop(self) -> None:
        """Stop the member in order; nothing happens if it does not run.

        Raises NodeCrashed, once, if its process had ended by itself, NodeStopError if it had to
        be killed. Either way it is stopped then.
        """
        with self._move("stop") as before:
            crash = self._crash if before is State.CRASHED else None
            self._drop_host()
        if crash is not None:
            raise crash

    def close(self) -> None:
        """Stop for good; a crash is not reported again. Raises NodeStopError like `stop`."""
        with self._move("close"):
            self._drop_host()

    def kill(self) -> None:
        """End the member's process with SIGKILL, to see what a crash does. Not in-process.

        Raises NodeNotRunningError.
        """
        with self._move("kill"):
            self._child().kill()
            self._forget_host()

    def pause(self) -> None:
        """Freeze the member's process (SIGSTOP); NodeNotRunningError. Not in-process.

        Until `resume` it cannot notice that this process was killed, and would stay.
        """
        with self._move("signal"):
            self._child().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused member go on (SIGCONT); NodeNotRunningError. Not in-process."""
        with self._move("signal"):
            self._child().send_signal(signal.SIGCONT)

    def __enter__(self) -> Node:
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
        return f"<Node {self._address} {self._state.value} in {self._data_dir}>"

    @contextmanager
    def _move(self, call: str) -> Iterator[State]:
        """Hold the lock for one call of the table; gives the state before it."""
        with self._lock:
            self._observe()
            before = self._state
            target = TRANSITIONS[call, before]
            if not isinstance(target, State):
                message = f"{call}: member {self._address} is {before.value}"
                raise target(message, address=self._address)
            yield before
            self._state = target

    def _observe(self) -> None:
        host = self._host
        if isinstance(host, Child) and not host.is_alive:
            self._crash = host.crash()
            host.discard()
            self._forget_host()
            self._state = State.CRASHED

    def _new_host(self) -> Host | Child:
        settings = Settings(
            node_id=self.id,
            address=self._address,
            bind_address=self._bind_address,
            data_dir=str(self._data_dir),
            network_latency_ms=self._network_latency_ms,
            failure_domain=self._failure_domain,
            snapshot_params=self._snapshot_params,
            connect_timeout=self._connect_timeout,
            dialer=self._dialer,
        )
        if self._in_process:
            return Host(settings)
        return Child(
            settings,
            start_timeout=self._start_timeout,
            stop_timeout=self._stop_timeout,
            launcher=self._launcher,
        )

    def _child(self) -> Child:
        if not isinstance(self._host, Child):
            raise NodeError(
                f"member {self._address} shares this process, which would be hit too",
                hint="leave in_process out",
            )
        return self._host

    def _drop_host(self) -> None:
        if self._host is not None:
            try:
                self._host.stop()
            finally:
                self._forget_host()

    def _forget_host(self) -> None:
        self._finalizer.detach()
        self._host = None
        self._facts = None
        self._state = State.STOPPED
